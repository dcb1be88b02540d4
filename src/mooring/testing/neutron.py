"""FakeNeutron: a Neutron in memory that behaves as the real one was seen to, held to the same contract tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from mooring.errors import MooringError, NeutronUnreachable
from mooring.neutron.api import AGENT_TYPE, REPORTED_BY
from mooring.neutron.model import IpAddress, Network, Port, Subnet, SubnetPool
from mooring.neutron.networks import RestNetworks
from mooring.neutron.parse import parse_network, parse_port, parse_subnet, parse_subnetpool
from mooring.neutron.ports import RestPorts
from mooring.testing.neutron_server import NeutronServer

_BUILDING = "building the test's world"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReport:
    """One report on the bus: ports, by UUID, that are wired and that are not."""

    host: str
    up: tuple[str, ...]
    down: tuple[str, ...]


class FakeNeutron(RestPorts, RestNetworks):
    """NeutronPorts, NeutronNetworks and NeutronBus in one, with helpers that build its world.

    mooring's own gateway code runs in it, on a NeutronServer in place of HTTP; so ``calls`` is what the same work
    costs on a real Neutron. The helpers (``add_...``, ``change_port``, ``now``) are other people's doing and not
    counted.
    """

    def __init__(self) -> None:
        self.server = NeutronServer()
        super().__init__(self.server)
        self.device_reports: list[DeviceReport] = []
        self.bus_unreachable = False

    @property
    def calls(self) -> list[str]:
        """The operations of all REST calls so far, such as ``show_port``; clear it to count anew."""
        return self.server.calls

    @property
    def unreachable(self) -> bool:
        """Whether nobody answers, neither REST nor bus; settable."""
        return self.server.unreachable

    @unreachable.setter
    def unreachable(self, value: bool) -> None:
        self.server.unreachable = value

    def fail_call(self, number: int, *, reply_lost: bool = False, error: MooringError | None = None) -> None:
        """Let the n-th REST call from now (1 is the next) fail, with NeutronUnreachable unless ``error`` is given.

        It is refused, or with ``reply_lost`` carried out all the same.
        """
        self.server.fail_call(number, reply_lost=reply_lost, error=error)

    # The bus

    def report_agent(self, host: str, mappings: Mapping[str, tuple[str, ...]], *, started: bool) -> None:
        """Report the 'NIC Switch agent' of a host alive."""
        del started
        self._check_bus(f"reporting the agent of host {host}")
        self._put_agent(host, mappings, REPORTED_BY)

    def report_devices(self, host: str, *, up: Iterable[str] = (), down: Iterable[str] = ()) -> None:
        """Report ports as wired or not."""
        self._check_bus(f"reporting devices of host {host}")
        report = DeviceReport(host=host, up=tuple(up), down=tuple(down))
        self.device_reports.append(report)
        self.server.report_devices(host, up=report.up, down=report.down)

    # The world

    def add_network(
        self,
        name: str = "net04",
        *,
        physical_network: str | None = "physnet2",
        vlan: int | None = 150,
        segments: Sequence[tuple[str, int | None]] = (),
        mtu: int = 1500,
        shared: bool = False,
    ) -> Network:
        """Add a provider network: VLAN, flat (``vlan`` None), a tunnel (``physical_network`` None), or multi-provider.

        ``segments`` are (physical_network, VLAN) pairs and replace the two single values.
        """
        attributes: dict[str, Any] = {"name": name, "mtu": mtu, "shared": shared}
        if segments:
            attributes["segments"] = [_segment(*pair) for pair in segments]
        else:
            attributes |= _segment(physical_network, vlan)
        return parse_network(_BUILDING, self.server.create("networks", attributes))

    def add_subnet(self, network: Network, cidr: str = "10.10.0.0/24", **attributes: object) -> Subnet:
        """Add a subnet; its gateway is the first address unless ``gateway_ip`` says otherwise."""
        body = {"network_id": network.id, "cidr": cidr, **attributes}
        return parse_subnet(_BUILDING, self.server.create("subnets", body))

    def add_subnetpool(self, *prefixes: str, name: str = "pool", shared: bool = False) -> SubnetPool:
        """Add a subnet pool."""
        body = {"name": name, "prefixes": list(prefixes), "shared": shared}
        return parse_subnetpool(_BUILDING, self.server.create("subnetpools", body))

    def add_port(
        self,
        network: Network,
        *,
        address: IpAddress | str | None = None,
        vnic_type: str = "direct",
        profile: Mapping[str, object] | None = None,
        **attributes: object,
    ) -> Port:
        """Add a user's port; ``address`` must be in one of the network's subnets, added before."""
        body: dict[str, Any] = {"network_id": network.id, "binding:vnic_type": vnic_type, **attributes}
        body["binding:profile"] = dict(profile or {})
        if address is not None:
            subnet = next(
                item
                for item in self.server.tables["subnets"].values()
                if item["network_id"] == network.id and _holds(item["cidr"], str(address))
            )
            body["fixed_ips"] = [{"subnet_id": subnet["id"], "ip_address": str(address)}]
        return parse_port(_BUILDING, self.server.create("ports", body))

    def change_port(self, port_id: str, **change: object) -> Port:
        """Change a port as its owner or an operator might, by the API's names (``**{"binding:host_id": ...}``)."""
        return parse_port(_BUILDING, self.server.change_port(port_id, change))

    def drop_port(self, port_id: str) -> None:
        """Delete a port behind mooring's back."""
        del self.server.tables["ports"][port_id]

    def now(self, port_id: str) -> Port:
        """Return a port as it stands, uncounted."""
        return parse_port(_BUILDING, self.server.show("ports", port_id))

    def add_agent(self, host: str, mappings: Mapping[str, Sequence[str]]) -> None:
        """Let a real neutron-sriov-nic-agent live on a host."""
        self._put_agent(host, mappings, {})

    def kill_agent(self, host: str) -> None:
        """Let Neutron take the agent of a host for dead."""
        self.server.tables["agents"][host]["alive"] = False

    def _put_agent(self, host: str, mappings: Mapping[str, Sequence[str]], mark: Mapping[str, str]) -> None:
        # One row for host and agent type: who writes last wins.
        self.server.tables["agents"][host] = {
            "id": host,
            "agent_type": AGENT_TYPE,
            "host": host,
            "alive": True,
            "configurations": {"device_mappings": {key: list(names) for key, names in mappings.items()}, **mark},
        }

    def _check_bus(self, doing: str) -> None:
        if self.bus_unreachable or self.unreachable:
            raise NeutronUnreachable(doing, "the fake's bus is switched off")


def _segment(physical_network: str | None, vlan: int | None) -> dict[str, object]:
    kind = "vxlan" if physical_network is None else "flat" if vlan is None else "vlan"
    return {
        "provider:network_type": kind,
        "provider:physical_network": physical_network,
        "provider:segmentation_id": vlan,
    }


def _holds(cidr: str, address: str) -> bool:
    return ip_address(address) in ip_network(cidr)
