"""FakeNeutron: a Neutron in memory that behaves as the real one was seen to, held to the same contract tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from mooring.errors import MooringError, NeutronUnreachable
from mooring.neutron.api import AGENT_TYPE, REPORTED_BY, PortNews
from mooring.neutron.model import IpAddress, Network, Port, SecurityGroup, Subnet, SubnetPool
from mooring.neutron.networks import RestNetworks
from mooring.neutron.news import NewsEndpoint
from mooring.neutron.parse import parse_network, parse_port, parse_security_group, parse_subnet, parse_subnetpool
from mooring.neutron.ports import RestPorts
from mooring.testing.neutron_drivers import BRIDGE_AGENT, OVS_AGENT
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
    costs on a real Neutron. The helpers (``add_...``, ``change_...``, ``now``) are other people's doing and not
    counted. ``bus_calls`` has the calls on the bus. News is told in the thread that makes it, before it goes on.
    """

    def __init__(self) -> None:
        self.server = NeutronServer()
        super().__init__(self.server)
        self.device_reports: list[DeviceReport] = []
        self.bus_calls: list[str] = []
        self.bus_unreachable = False
        self._bus_failures: dict[int, tuple[bool, MooringError | None]] = {}

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

    def fail_bus_call(self, number: int, *, reply_lost: bool = False, error: MooringError | None = None) -> None:
        """Let the n-th call on the bus from now fail, as ``fail_call`` does a REST call."""
        self._bus_failures[len(self.bus_calls) + number] = (reply_lost, error)

    # The bus

    def report_agent(self, host: str, mappings: Mapping[str, tuple[str, ...]], *, started: bool) -> None:
        """Report the 'NIC Switch agent' of a host alive."""
        del started
        with self._bus_call("report_agent", f"reporting the agent of host {host}"):
            self._put_agent(AGENT_TYPE, host, {"device_mappings": _listed(mappings), **REPORTED_BY})

    def report_devices(self, host: str, *, up: Iterable[str] = (), down: Iterable[str] = ()) -> None:
        """Report ports as wired or not."""
        with self._bus_call("report_devices", f"reporting devices of host {host}"):
            report = DeviceReport(host=host, up=tuple(up), down=tuple(down))
            self.device_reports.append(report)
            self.server.report_devices(host, up=report.up, down=report.down)

    def listen(self, host: str, on_change: Callable[[PortNews], None]) -> None:
        """Tell of changes; what happens while the bus is away is never told."""
        del host
        endpoint = NewsEndpoint(on_change)

        def hear(method: str, arguments: Mapping[str, Any]) -> None:
            if not (self.bus_unreachable or self.unreachable):
                getattr(endpoint, method)({}, **arguments)

        self.server.listeners.append(hear)

    def close(self) -> None:
        """Tell no more news."""
        self.server.listeners.clear()

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
        **attributes: object,
    ) -> Network:
        """Add a provider network: VLAN, flat (``vlan`` None), a tunnel (``physical_network`` None), or multi-provider.

        ``segments`` are (physical_network, VLAN) pairs and replace the two single values.
        """
        body: dict[str, Any] = {"name": name, "mtu": mtu, "shared": shared, **attributes}
        if segments:
            body["segments"] = [_segment(*pair) for pair in segments]
        else:
            body |= _segment(physical_network, vlan)
        return parse_network(_BUILDING, self.server.create("networks", body))

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

    def add_security_group(self, name: str, **attributes: object) -> SecurityGroup:
        """Add a security group of a project (``project_id``)."""
        return parse_security_group(_BUILDING, self.server.create("security-groups", {"name": name, **attributes}))

    def change_port(self, port_id: str, **change: object) -> Port:
        """Change a port as its owner or an operator might, by the API's names (``**{"binding:host_id": ...}``)."""
        return parse_port(_BUILDING, self.server.change_port(port_id, change))

    def drop_port(self, port_id: str) -> None:
        """Delete a port behind mooring's back."""
        self.server.drop_port(port_id)

    def change_network(self, network_id: str, **change: object) -> Network:
        """Change a network as an operator might, by the API's names."""
        return parse_network(_BUILDING, self.server.change_network(network_id, change))

    def add_qos_policy(self, *, max_kbps: int = 0, min_kbps: int = 0, ingress_kbps: int = 0) -> str:
        """Add a QoS policy and return its id, for the ``qos_policy_id`` of ports and networks; 0 makes no rule."""
        policy_id: str = self.server.create("policies", {})["id"]
        self.change_rule(policy_id, max_kbps=max_kbps, min_kbps=min_kbps)
        if ingress_kbps:
            self.server.change_rule(policy_id, "bandwidth_limit", "ingress", {"max_kbps": ingress_kbps})
        return policy_id

    def change_rule(self, policy_id: str, *, max_kbps: int | None = None, min_kbps: int | None = None) -> None:
        """Edit a policy's egress rules as an operator might: 0 removes a rule, None leaves it alone. Nobody is told."""
        for kind, key, value in (
            ("bandwidth_limit", "max_kbps", max_kbps),
            ("minimum_bandwidth", "min_kbps", min_kbps),
        ):
            if value is not None:
                self.server.change_rule(policy_id, kind, "egress", {key: value} if value else {})

    def now(self, port_id: str) -> Port:
        """Return a port as it stands, uncounted."""
        return parse_port(_BUILDING, self.server.show("ports", port_id))

    def add_agent(self, host: str, mappings: Mapping[str, Sequence[str]]) -> None:
        """Let a real neutron-sriov-nic-agent live on a host."""
        self._put_agent(AGENT_TYPE, host, {"device_mappings": _listed(mappings)})

    def add_ovs_agent(
        self, host: str, physical_networks: Iterable[str] = ("physnet1", "physnet2"), *, hybrid: bool = False
    ) -> None:
        """Let a neutron-openvswitch-agent live on a host, which binds normal ports to its br-int."""
        configurations = {
            "bridge_mappings": {name: f"br-{name}" for name in physical_networks},
            "integration_bridge": "br-int",
            "ovs_hybrid_plug": hybrid,
        }
        self._put_agent(OVS_AGENT, host, configurations)

    def add_bridge_agent(self, host: str, physical_networks: Iterable[str] = ("physnet1", "physnet2")) -> None:
        """Let a neutron-linuxbridge-agent live on a host, which binds normal ports to a bridge for each network."""
        self._put_agent(BRIDGE_AGENT, host, {"bridge_mappings": dict.fromkeys(physical_networks, "brq")})

    def kill_agent(self, host: str, agent_type: str = AGENT_TYPE) -> None:
        """Let Neutron take an agent of a host for dead."""
        self.server.tables["agents"][f"{agent_type} of {host}"]["alive"] = False

    def wire(self, host: str, *port_ids: str) -> None:
        """Let the L2 agent of a host report normal ports as wired: it found their interfaces on its bridge."""
        self.server.report_devices(host, up=port_ids, down=())

    def unwire(self, host: str, *port_ids: str) -> None:
        """Let the L2 agent of a host report normal ports as gone from its bridge."""
        self.server.report_devices(host, up=(), down=port_ids)

    def _put_agent(self, agent_type: str, host: str, configurations: Mapping[str, object]) -> None:
        # One row for host and agent type: who writes last wins.
        row = {"id": f"{agent_type} of {host}", "agent_type": agent_type, "host": host, "alive": True}
        self.server.tables["agents"][str(row["id"])] = row | {"configurations": dict(configurations)}

    @contextmanager
    def _bus_call(self, method: str, doing: str) -> Iterator[None]:
        self.bus_calls.append(method)
        if self.bus_unreachable or self.unreachable:
            raise NeutronUnreachable(doing, "the fake's bus is switched off")
        if (failure := self._bus_failures.pop(len(self.bus_calls), None)) is None:
            yield
            return
        reply_lost, error = failure
        if reply_lost:
            yield
        raise error or NeutronUnreachable(doing, f"bus call {len(self.bus_calls)} was made to fail")


def _listed(mappings: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {network: list(names) for network, names in mappings.items()}


def _segment(physical_network: str | None, vlan: int | None) -> dict[str, object]:
    kind = "vxlan" if physical_network is None else "flat" if vlan is None else "vlan"
    return {
        "provider:network_type": kind,
        "provider:physical_network": physical_network,
        "provider:segmentation_id": vlan,
    }


def _holds(cidr: str, address: str) -> bool:
    return ip_address(address) in ip_network(cidr)
