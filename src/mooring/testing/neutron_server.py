"""Neutron in memory, at the level of its API: what real Neutron 29 was seen to answer, refusals included.

It stands where mooring.neutron.http.NeutronHttp stands, so that mooring's own gateway runs against it unchanged.
"""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from typing import Any, Final
from urllib.parse import unquote

from mooring.errors import MooringError, NeutronConflict, NeutronRefused, NeutronUnreachable
from mooring.neutron.model import IpAddress, IpNetwork

Resource = dict[str, Any]

_SINGULAR: Final = {"networks": "network", "subnets": "subnet", "subnetpools": "subnetpool", "ports": "port"}
_BINDABLE: Final = ("direct", "macvtap")
_PROFILE_LIMIT: Final = 4095


class _No(Exception):
    """Neutron's answer is an error: a status and its text."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(message)


class NeutronServer:
    """The tables of a Neutron and the rules between them. ``calls`` has the operation of every request, in order.

    With ``die_after`` set to an operation it carries out the next such one and is unreachable from then on, before it
    has answered.
    """

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Resource]] = {
            name: {} for name in ("networks", "subnets", "subnetpools", "ports", "agents")
        }
        self.calls: list[str] = []
        self.unreachable = False
        self.die_after = ""
        self._failures: dict[int, tuple[bool, MooringError | None]] = {}
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
        with self._lock, self._failing(operation, doing):
            try:
                return self._handle(verb, [unquote(part) for part in path.split("/")], query, body or {}, revision)
            except _No as exc:
                kind = NeutronConflict if exc.status in (409, 412) else NeutronRefused
                raise kind(doing, exc.status, exc.message) from exc

    def fail_call(self, number: int, *, reply_lost: bool = False, error: MooringError | None = None) -> None:
        """Let the n-th call from now (1 is the next) fail: refused, or carried out and its reply lost."""
        self._failures[len(self.calls) + number] = (reply_lost, error)

    # What others do to Neutron, uncounted

    def create(self, collection: str, attributes: Mapping[str, Any]) -> Resource:
        """Create a resource as somebody else would."""
        with self._lock:
            return _view(self._create(collection, attributes))

    def show(self, collection: str, item_id: str) -> Resource:
        """Return a resource as it stands."""
        with self._lock:
            return _view(self._find(collection, item_id))

    def change_port(self, port_id: str, change: Mapping[str, Any]) -> Resource:
        """Change a port as somebody else would."""
        with self._lock:
            return _view(self._update_port(port_id, change, None))

    def _update_port(self, port_id: str, change: Mapping[str, Any], revision: int | None) -> Resource:
        """Change a port; a change of host, vnic_type or profile binds it anew, as does any while it is not bound."""
        port = self._find("ports", port_id)
        if revision is not None and revision != port["revision_number"]:
            raise _No(412, f"Constrained to {revision}, but current revision is {port['revision_number']}")
        self._check_port_change(port, change)
        wanted = {key: value for key, value in change.items() if port.get(key) != value}
        rebinds = wanted.keys() & {"binding:host_id", "binding:vnic_type", "binding:profile"}
        failed = bool(port["binding:host_id"]) and port["binding:vif_type"] == "binding_failed"
        port.update(wanted)
        if rebinds or (wanted and failed):
            self._bind(port)
        elif wanted:
            port["revision_number"] += 1
        return port

    def report_devices(self, host: str, *, up: Sequence[str], down: Sequence[str]) -> None:
        """Take an agent's word for ports of its host; what does not apply is passed over in silence."""
        with self._lock:
            for port_id, status in [(item, "ACTIVE") for item in up] + [(item, "DOWN") for item in down]:
                port = self.tables["ports"].get(port_id)
                if port is None or port["binding:host_id"] != host or port["binding:vif_type"] != "hw_veb":
                    continue
                if port["status"] != status and (status == "DOWN" or port["admin_state_up"]):
                    port["status"] = status
                    port["revision_number"] += 1

    # Requests

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
        kind = _SINGULAR.get(path[0], "")
        match verb, path:
            case "GET", [collection]:
                return {collection: [_view(item) for item in self.tables[collection].values() if _matches(item, query)]}
            case "GET", [collection, item_id]:
                return {kind: _view(self._find(collection, item_id))}
            case "POST", [collection]:
                return {kind: _view(self._create(collection, body[kind]))}
            case "PUT", ["ports", item_id]:
                return {kind: _view(self._update_port(item_id, body[kind], revision))}
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

    def _find(self, collection: str, item_id: str) -> Resource:
        try:
            return self.tables[collection][item_id]
        except KeyError as exc:
            raise _No(404, f"{_SINGULAR[collection].capitalize()} {item_id} could not be found.") from exc

    def _tag(
        self, collection: str, item_id: str, change: Callable[[list[str]], list[str]], *, must_have: str | None = None
    ) -> None:
        item = self.tables[collection].get(item_id)
        if item is None:
            # Neutron 29 stumbles over the missing owner's project instead of saying 404.
            raise _No(500, "Request Failed: internal server error while processing your request.")
        if must_have is not None and must_have not in item["tags"]:
            raise _No(404, f"Tag {must_have} could not be found.")
        tags = sorted(change(item["tags"]))
        if tags != item["tags"]:
            item["tags"] = tags
            item["revision_number"] += 1

    def _check_unused(self, collection: str, item_id: str) -> None:
        self._find(collection, item_id)
        ports = self.tables["ports"].values()
        if collection == "networks" and any(port["network_id"] == item_id for port in ports):
            raise _No(409, f"Unable to complete operation on network {item_id}. There are ports still in use.")
        if collection == "subnets" and any(fixed["subnet_id"] == item_id for p in ports for fixed in p["fixed_ips"]):
            raise _No(409, f"Unable to complete operation on subnet {item_id}: ports have an IP allocation.")
        if collection == "subnetpools" and any(
            subnet["subnetpool_id"] == item_id for subnet in self.tables["subnets"].values()
        ):
            raise _No(400, "Unable to delete subnet pool: Subnet pool has existing allocations.")

    def _remove(self, collection: str, item_id: str) -> None:
        del self.tables[collection][item_id]
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
            case _:
                return self._create_port(given)

    def _create_network(self, given: Mapping[str, Any]) -> Resource:
        segment = {
            "provider:network_type": "vlan",
            "provider:physical_network": "physnet1",
            "provider:segmentation_id": 1000 + next(self._numbers),
        }
        return self._insert("networks", {"name": "", "mtu": 1500, "shared": False, **segment, **given})

    def _create_subnetpool(self, given: Mapping[str, Any]) -> Resource:
        return self._insert("subnetpools", {"name": "", "shared": False, **given})

    def _create_subnet(self, given: Mapping[str, Any]) -> Resource:
        self._find("networks", given["network_id"])
        cidr = ip_network(given["cidr"])
        pool_id = given.get("subnetpool_id")
        siblings = [item for item in self.tables["subnets"].values() if item["network_id"] == given["network_id"]]
        alike = [item for item in siblings if item["ip_version"] == cidr.version]
        if any(item["subnetpool_id"] != pool_id for item in alike):
            raise _No(400, "Subnets hosted on the same network must be allocated from the same subnet pool.")
        if pool_id is not None:
            self._check_allocation(self._find("subnetpools", pool_id), cidr)
        elif any(cidr.overlaps(ip_network(item["cidr"])) for item in alike):
            raise _No(400, f"Requested subnet with cidr: {cidr} overlaps with another subnet.")
        defaults: Resource = {
            "name": "",
            "ip_version": cidr.version,
            "subnetpool_id": None,
            "gateway_ip": str(cidr[1]),
            "enable_dhcp": True,
            "host_routes": [],
        }
        return self._insert("subnets", defaults | dict(given))

    def _check_allocation(self, pool: Resource, cidr: IpNetwork) -> None:
        taken = [
            ip_network(item["cidr"]) for item in self.tables["subnets"].values() if item["subnetpool_id"] == pool["id"]
        ]
        prefixes = [ip_network(prefix) for prefix in pool["prefixes"]]
        if any(cidr.overlaps(other) for other in taken) or not any(_within(cidr, prefix) for prefix in prefixes):
            raise _No(500, "Failed to allocate subnet: Cannot allocate requested subnet from the available set.")

    # Ports

    def _create_port(self, given: Mapping[str, Any]) -> Resource:
        network_id = given["network_id"]
        self._find("networks", network_id)
        number = next(self._numbers)
        mac = given.get("mac_address", f"fa:16:3e:00:{number >> 8:02x}:{number & 255:02x}").lower()
        if any(p["network_id"] == network_id and p["mac_address"] == mac for p in self.tables["ports"].values()):
            raise _No(409, f"Unable to complete operation for network {network_id}. The mac {mac} is in use.")
        defaults: Resource = {
            "name": "",
            "admin_state_up": True,
            "status": "DOWN",
            "device_id": "",
            "device_owner": "",
            "port_security_enabled": True,
            "trusted": None,
            "binding:vnic_type": "normal",
            "binding:profile": {},
            "binding:host_id": "",
            "binding:vif_type": "unbound",
            "binding:vif_details": {},
        }
        addresses = {"mac_address": mac, "fixed_ips": self._allocate(network_id, given.get("fixed_ips"))}
        port = self._insert("ports", defaults | dict(given) | addresses)
        port["revision_number"] = 1
        if port["binding:host_id"]:
            self._bind(port)
        return port

    def _allocate(self, network_id: str, wanted: Sequence[Mapping[str, str]] | None) -> list[dict[str, str]]:
        if wanted is None:
            subnets = [item for item in self.tables["subnets"].values() if item["network_id"] == network_id]
            first = {item["ip_version"]: item for item in reversed(subnets)}
            wanted = [{"subnet_id": subnet["id"]} for subnet in first.values()]
        return [self._address(fixed) for fixed in wanted]

    def _address(self, fixed: Mapping[str, str]) -> dict[str, str]:
        subnet = self._find("subnets", fixed["subnet_id"])
        cidr = ip_network(subnet["cidr"])
        used = {
            ip_address(other["ip_address"])
            for port in self.tables["ports"].values()
            for other in port["fixed_ips"]
            if other["subnet_id"] == subnet["id"]
        }
        if "ip_address" not in fixed:
            return {"subnet_id": subnet["id"], "ip_address": str(_first_free(subnet, used))}
        address = ip_address(fixed["ip_address"])
        if address not in cidr or address in (cidr.network_address, cidr.broadcast_address):
            raise _No(400, f"IP address {address} is not a valid IP for the specified subnet.")
        if address in used:
            raise _No(409, f"IP address {address} already allocated in subnet {subnet['id']}")
        return {"subnet_id": subnet["id"], "ip_address": str(address)}

    def _check_port_change(self, port: Resource, change: Mapping[str, Any]) -> None:
        bound = port["binding:vif_type"] not in ("unbound", "binding_failed")
        if bound and change.get("mac_address", port["mac_address"]) != port["mac_address"]:
            raise _No(409, f"Unable to complete operation on port {port['id']}, port is already bound.")
        if (
            bound
            and port["device_id"]
            and change.get("binding:vnic_type", port["binding:vnic_type"]) != port["binding:vnic_type"]
        ):
            raise _No(409, f"Port already has an attached device {port['device_id']}.")
        if len(str(change.get("binding:profile", ""))) > _PROFILE_LIMIT:
            raise _No(400, "Invalid input for operation: binding:profile value too large.")

    def _bind(self, port: Resource) -> None:
        port["status"] = "DOWN"
        port["binding:vif_details"] = {}
        if not port["binding:host_id"]:
            port["binding:vif_type"] = "unbound"
            port["revision_number"] += 1
            return
        port["revision_number"] += 3
        vlan = self._segment_vlan(port)
        port["binding:vif_type"] = "binding_failed" if vlan is None else "hw_veb"
        if vlan is not None:
            port["binding:vif_details"] = {"port_filter": False, "connectivity": "l2", "vlan": vlan}

    def _segment_vlan(self, port: Resource) -> str | None:
        """Return the VLAN of the first segment that an alive agent of the port's host maps, None when none does."""
        if port["binding:vnic_type"] not in _BINDABLE or "switchdev" in port["binding:profile"].get("capabilities", ()):
            return None
        mapped = {
            name
            for agent in self.tables["agents"].values()
            if agent["host"] == port["binding:host_id"] and agent["alive"]
            for name in agent["configurations"]["device_mappings"]
        }
        network = self._find("networks", port["network_id"])
        for segment in network.get("segments") or [network]:
            if segment["provider:physical_network"] in mapped and segment["provider:network_type"] in ("vlan", "flat"):
                return str(segment["provider:segmentation_id"] or 0)
        return None

    def _insert(self, collection: str, attributes: Mapping[str, Any]) -> Resource:
        # Only the tags' own requests set tags.
        item = {"id": str(uuid.uuid4()), "revision_number": 0, "description": "", **attributes, "tags": []}
        self.tables[collection][item["id"]] = item
        return item


def _within(cidr: IpNetwork, prefix: IpNetwork) -> bool:
    return cidr.version == prefix.version and cidr[0] in prefix and cidr[-1] in prefix


def _first_free(subnet: Resource, used: Collection[IpAddress]) -> IpAddress:
    gateway = subnet["gateway_ip"]
    for address in ip_network(subnet["cidr"]).hosts():
        if address not in used and str(address) != gateway:
            return address
    raise _No(409, f"No more IP addresses available on network {subnet['network_id']}.")


def _view(item: Resource) -> Resource:
    """Return a resource as an answer shows it: the port's field ``trusted`` also appears in its profile."""
    shown = dict(item)
    if item.get("trusted") is not None:
        shown["binding:profile"] = {**item["binding:profile"], "trusted": item["trusted"]}
    return shown


def _matches(item: Resource, query: Sequence[tuple[str, str]]) -> bool:
    return all(_has(item, key, value) for key, value in query)


def _has(item: Resource, key: str, value: str) -> bool:
    if key == "tags":
        return set(value.split(",")) <= set(item["tags"])
    if key == "fixed_ips":
        wanted = value.removeprefix("ip_address=")
        return any(fixed["ip_address"] == wanted for fixed in item["fixed_ips"])
    return str(item.get(key)) == value
