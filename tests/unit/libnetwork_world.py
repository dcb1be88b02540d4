"""A dockerd, a core and a Neutron around the plugin: what the front door's tests play in."""

from __future__ import annotations

import base64
import io
import itertools
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mooring.attach.types import Attachment, AttachRequest, Lease, LeaseStep
from mooring.config.settings import LibnetworkSettings
from mooring.errors import BindingRefused, EdgeFailure, InvalidRequest, MooringError, NoFreeDevice, PortBusy
from mooring.libnetwork.plugin import Plugin
from mooring.libnetwork.server import PluginApp
from mooring.neutron.api import Binding
from mooring.neutron.model import Port
from mooring.pci.address import PciAddress
from mooring.testing.neutron import FakeNeutron

HOST = "node1"


class FakeAttachments:
    """The core without a kernel: leases are kept, ports are bound and given back, debts are remembered."""

    def __init__(self, neutron: FakeNeutron) -> None:
        self.neutron = neutron
        self.leases: dict[str, Lease] = {}
        self.owed: list[Lease] = []
        self.free = 4
        self.binding_fails = False

    def lease(self, request: AttachRequest) -> Lease:
        if request.attachment in self.leases:
            return self.leases[request.attachment]
        for other in self.leases.values():
            if other.port.id == request.port.id:
                raise PortBusy(request.port.id, f"attachment {other.attachment} on this host")
        if len(self.leases) == self.free:
            raise NoFreeDevice("physnet2", total=self.free, detail="all leased")
        lease = Lease(
            id=uuid.uuid4().hex,
            attachment=request.attachment,
            boot_id="boot",
            device=PciAddress.parse(f"0000:0a:00.{len(self.leases) + 1}"),
            parent=PciAddress.parse("0000:0a:00.0"),
            physical_network="physnet2",
            driver="sriov",
            step=LeaseStep.LEASED,
            port=request.port,
            former=request.port,
            network=request.network,
            device_owner=request.device_owner,
            created=request.created,
            vnic_type=request.vnic_type or request.port.vnic_type,
            is_bound=request.is_bound,
        )
        self.leases[request.attachment] = lease
        return lease

    def attach(self, attachment: str) -> Attachment:
        lease = self.leases.get(attachment)
        if lease is None:
            raise InvalidRequest(f"attachment {attachment} has no lease: create the endpoint before joining it")
        if lease.is_bound:
            return self._attach_bound(lease)
        try:
            wanted = Binding(
                host=HOST,
                device_id=attachment,
                device_owner=lease.device_owner,
                profile={"pci_slot": str(lease.device)},
                vnic_type=lease.vnic_type,
            )
            bound = self.neutron.bind(lease.port, wanted)
            self._check(bound)
        except MooringError:
            self.leases[attachment] = replace(lease, step=LeaseStep.READY)
            self.detach(attachment)
            raise
        self.leases[attachment] = replace(lease, port=bound, step=LeaseStep.READY)
        return Attachment(id=attachment, device=lease.device, interface="enp10s0f0v1")

    def detach(self, attachment: str) -> None:
        if (lease := self.leases.pop(attachment, None)) is not None:
            try:
                self._give_back(lease)
            except EdgeFailure:
                self.owed.append(lease)

    def make_way(self, port_id: str) -> None:
        """Have nothing to end: what a kernel shows of containers is not known here."""

    def find(self, attachment: str) -> Lease | None:
        return self.leases.get(attachment)

    def _attach_bound(self, lease: Lease) -> Attachment:
        try:
            self._check(lease.port)
        except MooringError:
            del self.leases[lease.attachment]
            raise
        self.leases[lease.attachment] = replace(lease, step=LeaseStep.READY)
        return Attachment(id=lease.attachment, device=lease.device, interface="enp10s0f0v1")

    def _check(self, bound: Port) -> None:
        if self.binding_fails:
            raise BindingRefused(bound.id, HOST, "it answered binding_failed")

    def _give_back(self, lease: Lease) -> None:
        if lease.is_bound:
            return
        if lease.created:
            self.neutron.delete_port(lease.port.id)
        elif lease.step is LeaseStep.READY:
            bound = replace(lease.port, host=HOST, device_id=lease.attachment)
            self.neutron.unbind(bound, restore=lease.former.profile)


class DockerError(Exception):
    """What the Docker user reads."""


@dataclass
class DockerNetwork:
    id: str
    pools: dict[int, tuple[str, str]] = field(default_factory=dict)
    gateways: dict[int, str] = field(default_factory=dict)


@dataclass
class Container:
    network: DockerNetwork
    endpoint: str
    addresses: dict[int, str]
    interface: Mapping[str, str]
    joined: Mapping[str, Any]


class Dockerd:
    """The engine's side: its calls in its order, in success and in failure, with the bodies its version sends."""

    def __init__(self, app: PluginApp, version: str = "29") -> None:
        self.app = app
        self.modern = version == "29"
        self.calls: list[str] = []

    def call(self, call: str, body: object = None) -> dict[str, Any]:
        """Make a call as the engine does; raise DockerError with what the engine would show."""
        status, answer = self.post(call, b"" if body is None else json.dumps(body).encode())
        self.calls.append(call)
        if status != 200:
            assert answer["Err"] == answer["Error"]
            raise DockerError(answer["Err"])
        return answer

    def post(self, call: str, body: bytes, verb: str = "POST") -> tuple[int, dict[str, Any]]:
        statuses: list[str] = []
        environ = {
            "REQUEST_METHOD": verb,
            "PATH_INFO": f"/{call}",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        answer = b"".join(self.app(environ, lambda status, _headers, _exc=None: statuses.append(status)))
        return int(statuses[0].split()[0]), json.loads(answer)

    def create_network(
        self,
        *subnets: str,
        gateways: tuple[str | None, ...] = (None, None),
        aux: str | None = None,
        options: Mapping[str, str] | None = None,
        ipam_options: Mapping[str, str] | None = None,
    ) -> DockerNetwork:
        """``docker network create -d kuryr --ipam-driver=kuryr --subnet=...``; without a subnet, null IPAM."""
        network = DockerNetwork(id=uuid.uuid4().hex * 2)
        generic = {
            "com.docker.network.enable_ipv4": True,
            "com.docker.network.enable_ipv6": len(subnets) > 1,
            "com.docker.network.generic": dict(options or {}),
        }
        try:
            skip = self.call("NetworkDriver.GwAllocCheck", {"Options": generic}) if self.modern else {}
            data = {4: [], 6: []} if subnets else {4: [_null_data()], 6: []}
            for subnet, gateway in zip(subnets, gateways, strict=False):
                version = 6 if ":" in subnet else 4
                data[version].append(self._allocate(network, subnet, gateway, aux, ipam_options, skip))
            body = {"NetworkID": network.id, "Options": generic, "IPv4Data": data[4], "IPv6Data": data[6] or None}
            self.call("NetworkDriver.CreateNetwork", body)
        except DockerError:
            self._release_pools(network)
            raise
        return network

    def remove_network(self, network: DockerNetwork) -> None:
        self._release_pools(network)
        self.call("NetworkDriver.DeleteNetwork", {"NetworkID": network.id})

    def run(
        self,
        network: DockerNetwork,
        *,
        ip: str = "",
        ip6: str = "",
        mac: str = "",
        options: Mapping[str, object] | None = None,
        name: str = "c1",
    ) -> Container:
        """``docker run``: the calls of one endpoint, rolled back as the engine does."""
        endpoint = uuid.uuid4().hex * 2
        addresses = {}
        for version, wanted in ((4, ip), (6, ip6)):
            if version in network.pools:
                addresses[version] = self._request_address(network, version, wanted, name)
        ids = {"NetworkID": network.id, "EndpointID": endpoint}
        try:
            interface = self._create_endpoint(ids, addresses, mac, options or {})
        except DockerError:
            self._release_addresses(network, addresses)
            raise
        try:
            sandbox = {"SandboxKey": "/run/user/1000/docker/netns/0123456789ab", "Options": {}}
            joined = self.call("NetworkDriver.Join", ids | sandbox)
        except DockerError:
            if self.modern:
                self.call("NetworkDriver.Leave", ids)
            self.call("NetworkDriver.DeleteEndpoint", ids)
            self._release_addresses(network, addresses)
            raise
        return Container(network, endpoint, addresses, interface, joined)

    def remove(self, container: Container) -> None:
        """``docker rm -f``."""
        ids = {"NetworkID": container.network.id, "EndpointID": container.endpoint}
        self.call("NetworkDriver.Leave", ids)
        self.call("NetworkDriver.DeleteEndpoint", ids)
        self._release_addresses(container.network, container.addresses)

    def _allocate(
        self,
        network: DockerNetwork,
        subnet: str,
        gateway: str | None,
        aux: str | None,
        ipam_options: Mapping[str, str] | None,
        skip: Mapping[str, bool],
    ) -> dict[str, object]:
        version = 6 if ":" in subnet else 4
        request = {"AddressSpace": "no_address_space", "Pool": subnet, "SubPool": "", "V6": version == 6}
        pool = self.call("IpamDriver.RequestPool", request | {"Options": ipam_options})
        network.pools[version] = pool["PoolID"], pool["Pool"]
        data: dict[str, object] = {"AddressSpace": "no_address_space", "Pool": pool["Pool"]}
        if gateway or not skip.get(f"SkipIPv{version}"):
            options = {"RequestAddressType": "com.docker.network.gateway"}
            body = {"PoolID": pool["PoolID"], "Address": gateway or "", "Options": options}
            network.gateways[version] = self.call("IpamDriver.RequestAddress", body)["Address"]
            data["Gateway"] = network.gateways[version]
        if self.modern:
            data["AuxAddresses"] = {}
        if aux:
            body = {"PoolID": pool["PoolID"], "Address": aux, "Options": None}
            data["AuxAddresses"] = {"other": self.call("IpamDriver.RequestAddress", body)["Address"]}
        return data

    def _release_pools(self, network: DockerNetwork) -> None:
        for version, (pool_id, _) in network.pools.items():
            if version in network.gateways:
                gateway = network.gateways[version].split("/")[0]
                self.call("IpamDriver.ReleaseAddress", {"PoolID": pool_id, "Address": gateway})
            self.call("IpamDriver.ReleasePool", {"PoolID": pool_id})

    def _request_address(self, network: DockerNetwork, version: int, wanted: str, name: str) -> str:
        options = {"com.docker.network.endpoint.name": name} if self.modern else None
        body = {"PoolID": network.pools[version][0], "Address": wanted, "Options": options}
        return self.call("IpamDriver.RequestAddress", body)["Address"]

    def _release_addresses(self, network: DockerNetwork, addresses: Mapping[int, str]) -> None:
        for version, address in addresses.items():
            body = {"PoolID": network.pools[version][0], "Address": address.split("/")[0]}
            self.call("IpamDriver.ReleaseAddress", body)

    def _create_endpoint(
        self, ids: Mapping[str, str], addresses: Mapping[int, str], mac: str, options: Mapping[str, object]
    ) -> dict[str, str]:
        given = {"Address": addresses.get(4, ""), "AddressIPv6": addresses.get(6, ""), "MacAddress": mac}
        flat: dict[str, object] = {
            "com.docker.network.endpoint.exposedports": [],
            "com.docker.network.portmap": [],
            **options,
        }
        if mac:
            raw = bytes.fromhex(mac.replace(":", ""))
            flat["com.docker.network.endpoint.macaddress"] = base64.b64encode(raw).decode()
        answer = self.call("NetworkDriver.CreateEndpoint", {**ids, "Interface": given, "Options": flat})["Interface"]
        for key, value in answer.items():
            assert not given[key], f"{key} cannot be modified"
            given[key] = value
        return given


def _null_data() -> dict[str, object]:
    return {"AddressSpace": "null", "Pool": "0.0.0.0/0"}


class World:
    """One host: its Docker, the plugin, the core, and the Neutron that all hosts share."""

    def __init__(self, state_dir: Path, *, version: str = "29", neutron: FakeNeutron | None = None) -> None:
        self.neutron = neutron or FakeNeutron()
        self.neutron.add_agent(HOST, {"physnet2": ["enp10s0f0"]})
        self.core = FakeAttachments(self.neutron)
        self.state_dir = state_dir
        self.now = 1000.0
        self.restart()
        self.docker = Dockerd(self.plugin.app, version)

    def restart(self) -> None:
        """Start the plugin anew; its memory on disk stays."""
        if hasattr(self, "plugin"):
            self.plugin.close()
        self.plugin = Plugin(
            neutron=self.neutron,
            attachments=self.core,
            host=HOST,
            settings=LibnetworkSettings(),
            state_dir=self.state_dir,
            clock=lambda: self.now,
        )
        if hasattr(self, "docker"):
            self.docker.app = self.plugin.app

    def neutron_state(self) -> dict[str, dict[str, dict[str, Any]]]:
        """All that Neutron holds, revisions aside."""
        return {
            kind: {
                key: {name: value for name, value in item.items() if name != "revision_number"}
                for key, item in table.items()
            }
            for kind, table in self.neutron.server.tables.items()
        }


_hosts = itertools.count(1)


def another_host(world: World, version: str = "29") -> World:
    """Return a second host on the same Neutron."""
    state_dir = world.state_dir / f"host{next(_hosts)}"
    state_dir.mkdir()
    return World(state_dir, version=version, neutron=world.neutron)
