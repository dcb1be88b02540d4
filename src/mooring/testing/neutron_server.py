"""Neutron in memory, at the level of its API: what real Neutron 29 was seen to answer, refusals included.

It stands where mooring.neutron.http.NeutronHttp stands, so that mooring's own gateway runs against it unchanged.
"""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote

from mooring.errors import MooringError, NeutronConflict, NeutronRefused, NeutronUnreachable
from mooring.testing.neutron_addresses import allocate, new_subnet
from mooring.testing.neutron_drivers import Bound, bind
from mooring.testing.neutron_tables import SINGULAR, No, Resource, find

_TOLD_OF_PORTS: Final = {
    "admin_state_up",
    "port_security_enabled",
    "fixed_ips",
    "allowed_address_pairs",
    "qos_policy_id",
}
_TOLD_OF_NETWORKS: Final = {"mtu", "qos_policy_id"}
"""The changes of bound ports, and of networks, that agents are told of; that a port was bound is told, too."""
_PROFILE_LIMIT: Final = 4095

PROJECT: Final = "demo"
"""Whose a network or a port is that nobody says otherwise of."""


class NeutronServer:
    """The tables of a Neutron and the rules between them. ``calls`` has the operation of every request, in order.

    ``listeners`` are told, with a method's name and its arguments, what the real one casts to agents.

    With ``die_after`` set to an operation it carries out the next such one and is unreachable from then on, before it
    has answered.
    """

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Resource]] = {
            name: {}
            for name in ("networks", "subnets", "subnetpools", "ports", "policies", "agents", "security-groups")
        }
        self.calls: list[str] = []
        self.listeners: list[Callable[[str, Mapping[str, Any]], None]] = []
        self.unreachable = False
        self.die_after = ""
        self._failures: dict[int, tuple[bool, MooringError | None]] = {}
        self._said: list[tuple[str, Mapping[str, Any]]] = []
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)

    def send(
        self,
        operation: str,
        doing: str,
        verb: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Mapping[str, Any] | None = None,
        revision: int | None = None,
    ) -> Resource:
        """Answer one request, as NeutronHttp.send promises."""
        with self._telling(), self._failing(operation, doing):
            try:
                steps = [unquote(part) for part in path.removeprefix("qos/").split("/")]
                return self._handle(verb, steps, query, body or {}, revision)
            except No as exc:
                kind = NeutronConflict if exc.status in (409, 412) else NeutronRefused
                raise kind(doing, exc.status, exc.message) from exc

    def fail_call(self, number: int, *, reply_lost: bool = False, error: MooringError | None = None) -> None:
        """Let the n-th call from now (1 is the next) fail: refused, or carried out and its reply lost."""
        self._failures[len(self.calls) + number] = (reply_lost, error)

    # What others do to Neutron, uncounted

    def create(self, collection: str, attributes: Mapping[str, Any]) -> Resource:
        """Create a resource as somebody else would."""
        with self._telling():
            return self._view(self._create(collection, attributes))

    def show(self, collection: str, item_id: str) -> Resource:
        """Return a resource as it stands."""
        with self._lock:
            return self._view(self._find(collection, item_id))

    def change_port(self, port_id: str, change: Mapping[str, Any]) -> Resource:
        """Change a port as somebody else would."""
        with self._telling():
            return self._view(self._update_port(port_id, change, None))

    def change_network(self, network_id: str, change: Mapping[str, Any]) -> Resource:
        """Change a network as somebody else would."""
        with self._telling():
            network = self._find("networks", network_id)
            wanted = {key: value for key, value in change.items() if network.get(key) != value}
            network.update(wanted)
            network["revision_number"] += bool(wanted)
            if wanted.keys() & _TOLD_OF_NETWORKS:
                self._say("network_update", network={"id": network_id})
            return self._view(network)

    def drop_port(self, port_id: str) -> None:
        """Delete a port as somebody else would."""
        with self._telling():
            self._remove("ports", port_id)

    def change_rule(self, policy_id: str, kind: str, direction: str, change: Mapping[str, int]) -> None:
        """Edit a QoS policy's rule, or make it, or remove it where nothing is given; no port changes, none is told."""
        with self._lock:
            policy = self._find("policies", policy_id)
            others = [rule for rule in policy["rules"] if (rule["type"], rule["direction"]) != (kind, direction)]
            policy["rules"] = others + ([{"type": kind, "direction": direction, **change}] if change else [])
            policy["revision_number"] += 1

    def _update_port(self, port_id: str, change: Mapping[str, Any], revision: int | None) -> Resource:
        """Change a port; a change of host, vnic_type or profile binds it anew, as does any when its binding failed."""
        port = self._find("ports", port_id)
        if revision is not None and revision != port["revision_number"]:
            raise No(412, f"Constrained to {revision}, but current revision is {port['revision_number']}")
        self._check_port_change(port, change)
        wanted = {key: value for key, value in change.items() if port.get(key) != value}
        rebinds = wanted.keys() & {"binding:host_id", "binding:vnic_type", "binding:profile"}
        failed = bool(port["binding:host_id"]) and port["binding:vif_type"] == "binding_failed"
        port.update(wanted)
        binds = bool(rebinds) or failed
        if binds:
            self._bind(port)
        elif wanted:
            port["revision_number"] += 1
        if _is_bound(port) and (binds or wanted.keys() & _TOLD_OF_PORTS):
            self._say("port_update", port={"id": port_id, "revision_number": port["revision_number"]})
        return port

    def report_devices(self, host: str, *, up: Sequence[str], down: Sequence[str]) -> None:
        """Take an agent's word for ports of its host; what does not apply is passed over in silence."""
        with self._lock:
            for port_id, status in [(item, "ACTIVE") for item in up] + [(item, "DOWN") for item in down]:
                port = self.tables["ports"].get(port_id)
                if port is None or port["binding:host_id"] != host or not _is_bound(port):
                    continue
                if port["status"] != status and (status == "DOWN" or port["admin_state_up"]):
                    port["status"] = status
                    port["revision_number"] += 1

    # Requests

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Hold the tables, and tell the news afterwards: who hears it may wait for somebody who asks meanwhile."""
        said: list[tuple[str, Mapping[str, Any]]] = []
        try:
            with self._lock:
                try:
                    yield
                finally:
                    said, self._said = self._said, []
        finally:
            for method, arguments in said:
                for listener in list(self.listeners):
                    listener(method, arguments)

    def _say(self, method: str, **arguments: object) -> None:
        self._said.append((method, arguments))

    @contextmanager
    def _failing(self, operation: str, doing: str) -> Iterator[None]:
        self.calls.append(operation)
        if self.unreachable:
            raise NeutronUnreachable(doing, "the fake is switched off")
        if operation == self.die_after:
            yield
            self.unreachable, self.die_after = True, ""
            raise NeutronUnreachable(doing, "the fake died of it")
        if (failure := self._failures.pop(len(self.calls), None)) is None:
            yield
            return
        reply_lost, error = failure
        if reply_lost:
            yield
        raise error or NeutronUnreachable(doing, f"call {len(self.calls)} was made to fail")

    def _handle(
        self,
        verb: str,
        path: list[str],
        query: Sequence[tuple[str, str]],
        body: Mapping[str, Any],
        revision: int | None,
    ) -> Resource:
        kind = SINGULAR.get(path[0], "")
        match verb, path:
            case "GET", [collection]:
                found = [self._view(item) for item in self.tables[collection].values() if _matches(item, query)]
                return {collection.replace("-", "_"): found}
            case "GET", [collection, item_id]:
                return {kind: self._view(self._find(collection, item_id))}
            case "POST", [collection]:
                return {kind: self._view(self._create(collection, body[kind]))}
            case "PUT", ["ports", item_id]:
                return {kind: self._view(self._update_port(item_id, body[kind], revision))}
            case "DELETE", [collection, item_id]:
                self._check_unused(collection, item_id)
                self._remove(collection, item_id)
            case "PUT", [collection, item_id, "tags"]:
                self._tag(collection, item_id, lambda _: list(body["tags"]))
            case "PUT", [collection, item_id, "tags", tag]:
                self._tag(collection, item_id, lambda tags: [*tags, *({tag} - set(tags))])
            case "DELETE", [collection, item_id, "tags", tag]:
                self._tag(collection, item_id, lambda tags: [item for item in tags if item != tag], must_have=tag)
        return {}

    def _view(self, item: Resource) -> Resource:
        """Return a resource as an answer shows it: a port's field ``trusted`` also appears in its profile."""
        shown = dict(item)
        if item.get("trusted") is not None:
            shown["binding:profile"] = {**item["binding:profile"], "trusted": item["trusted"]}
        if "binding:vif_type" in item:
            shown["qos_network_policy_id"] = self.tables["networks"][item["network_id"]]["qos_policy_id"]
        return shown

    def _find(self, collection: str, item_id: str) -> Resource:
        return find(self.tables, collection, item_id)

    def _tag(
        self, collection: str, item_id: str, change: Callable[[list[str]], list[str]], *, must_have: str | None = None
    ) -> None:
        item = self.tables[collection].get(item_id)
        if item is None:
            # Neutron 29 stumbles over the missing owner's project instead of saying 404.
            raise No(500, "Request Failed: internal server error while processing your request.")
        if must_have is not None and must_have not in item["tags"]:
            raise No(404, f"Tag {must_have} could not be found.")
        tags = sorted(change(item["tags"]))
        if tags != item["tags"]:
            item["tags"] = tags
            item["revision_number"] += 1

    def _check_unused(self, collection: str, item_id: str) -> None:
        self._find(collection, item_id)
        ports = self.tables["ports"].values()
        if collection == "networks" and any(port["network_id"] == item_id for port in ports):
            raise No(409, f"Unable to complete operation on network {item_id}. There are ports still in use.")
        if collection == "subnets" and any(fixed["subnet_id"] == item_id for p in ports for fixed in p["fixed_ips"]):
            raise No(409, f"Unable to complete operation on subnet {item_id}: ports have an IP allocation.")
        if collection == "subnetpools" and any(
            subnet["subnetpool_id"] == item_id for subnet in self.tables["subnets"].values()
        ):
            raise No(400, "Unable to delete subnet pool: Subnet pool has existing allocations.")

    def _remove(self, collection: str, item_id: str) -> None:
        del self.tables[collection][item_id]
        if collection == "ports":
            self._say("port_delete", port_id=item_id)
        subnets = self.tables["subnets"]
        if collection == "networks":
            for subnet in [subnet for subnet in subnets.values() if subnet["network_id"] == item_id]:
                del subnets[subnet["id"]]

    # Networks, subnets, pools

    def _create(self, collection: str, given: Mapping[str, Any]) -> Resource:
        match collection:
            case "networks":
                return self._create_network(given)
            case "subnets":
                return self._create_subnet(given)
            case "subnetpools":
                return self._create_subnetpool(given)
            case "policies":
                return self._insert("policies", {"rules": [], **given})
            case "security-groups":
                return self._insert("security-groups", {"name": "", "project_id": PROJECT, **given})
            case _:
                return self._create_port(given)

    def _create_network(self, given: Mapping[str, Any]) -> Resource:
        segment = {
            "provider:network_type": "vlan",
            "provider:physical_network": "physnet1",
            "provider:segmentation_id": 1000 + next(self._numbers),
        }
        defaults: Resource = {
            "name": "",
            "mtu": 1500,
            "shared": False,
            "router:external": False,
            "qos_policy_id": None,
            "project_id": PROJECT,
            # Later ones are younger.
            "created_at": f"2026-01-01T00:00:00.{next(self._numbers):06}Z",
        }
        return self._insert("networks", {**defaults, **segment, **given})

    def _create_subnetpool(self, given: Mapping[str, Any]) -> Resource:
        return self._insert("subnetpools", {"name": "", "shared": False, **given})

    def _create_subnet(self, given: Mapping[str, Any]) -> Resource:
        return self._insert("subnets", new_subnet(self.tables, given))

    # Ports

    def _create_port(self, given: Mapping[str, Any]) -> Resource:
        network_id = given["network_id"]
        self._find("networks", network_id)
        mac = (given.get("mac_address") or self._new_mac()).lower()
        if any(p["network_id"] == network_id and p["mac_address"] == mac for p in self.tables["ports"].values()):
            raise No(409, f"Unable to complete operation for network {network_id}. The mac {mac} is in use.")
        defaults: Resource = {
            "name": "",
            "admin_state_up": True,
            "status": "DOWN",
            "device_id": "",
            "device_owner": "",
            "port_security_enabled": True,
            "trusted": None,
            "qos_policy_id": None,
            "project_id": PROJECT,
            "security_groups": [],
            "binding:vnic_type": "normal",
            "binding:profile": {},
            "binding:host_id": "",
            "binding:vif_type": "unbound",
            "binding:vif_details": {},
        }
        addresses = {"mac_address": mac, "fixed_ips": allocate(self.tables, network_id, given.get("fixed_ips"))}
        port = self._insert("ports", defaults | dict(given) | addresses)
        port["revision_number"] = 1
        if port["binding:host_id"]:
            self._bind(port)
        return port

    def _check_port_change(self, port: Resource, change: Mapping[str, Any]) -> None:
        bound = _is_bound(port)
        if bound and change.get("mac_address", port["mac_address"]) != port["mac_address"]:
            raise No(409, f"Unable to complete operation on port {port['id']}, port is already bound.")
        if (
            bound
            and port["device_id"]
            and change.get("binding:vnic_type", port["binding:vnic_type"]) != port["binding:vnic_type"]
        ):
            raise No(409, f"Port already has an attached device {port['device_id']}.")
        if len(str(change.get("binding:profile", ""))) > _PROFILE_LIMIT:
            raise No(400, "Invalid input for operation: binding:profile value too large.")

    def _bind(self, port: Resource) -> None:
        if port["binding:host_id"]:
            bound = bind(port, self._find("networks", port["network_id"]), self.tables["agents"].values())
            port["revision_number"] += 3
        else:
            bound = Bound(vif_type="unbound")
            port["revision_number"] += 1
        port["status"], port["binding:vif_type"] = bound.status, bound.vif_type
        port["binding:vif_details"] = dict(bound.vif_details)
        if port["binding:vnic_type"] == "direct-physical":
            # The MAC is the device's as long as there is one.
            port["mac_address"] = port["binding:profile"].get("device_mac_address") or self._new_mac()

    def _new_mac(self) -> str:
        number = next(self._numbers)
        return f"fa:16:3e:00:{number >> 8:02x}:{number & 255:02x}"

    def _insert(self, collection: str, attributes: Mapping[str, Any]) -> Resource:
        # Only the tags' own requests set tags.
        item = {"id": str(uuid.uuid4()), "revision_number": 0, "description": "", **attributes, "tags": []}
        self.tables[collection][item["id"]] = item
        return item


def _is_bound(port: Resource) -> bool:
    return port["binding:vif_type"] not in ("unbound", "binding_failed")


def _matches(item: Resource, query: Sequence[tuple[str, str]]) -> bool:
    return all(_has(item, key, value) for key, value in query)


def _has(item: Resource, key: str, value: str) -> bool:
    if key == "tags":
        return set(value.split(",")) <= set(item["tags"])
    if key == "fixed_ips":
        wanted = value.removeprefix("ip_address=")
        return any(fixed["ip_address"] == wanted for fixed in item["fixed_ips"])
    return str(item.get(key)) == value
