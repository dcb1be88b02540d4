from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from queue import Empty, SimpleQueue

import pytest
from keystoneauth1.adapter import Adapter
from neutron_contract import NetworkContract, NewsContract, PortContract

from lab.neutron import NeutronCloud
from lab.neutron.accounts import ACCOUNTS, DOMAIN, REGION
from mooring.config.session import neutron_session
from mooring.config.settings import NeutronSettings
from mooring.errors import NeutronRefused, NeutronUnreachable
from mooring.neutron.api import AGENT_TYPE, Binding, PortNews
from mooring.neutron.bus import NeutronMessageBus
from mooring.neutron.model import Network, Port, SecurityGroup, Subnet
from mooring.neutron.parse import parse_network, parse_port, parse_security_group, parse_subnet
from mooring.neutron.rest import NeutronGateway

TEST = "building the test's world"


def adapter_of(cloud: NeutronCloud, user: str, **password: str) -> Adapter:
    account = ACCOUNTS[user]
    options = {
        "auth_url": cloud.facts.auth_url(),
        "username": account.user,
        "password": account.password,
        "project_name": account.project,
        "user_domain_id": DOMAIN,
        "project_domain_id": DOMAIN,
    }
    # The endpoint comes out of Keystone's catalog, as in a real cloud.
    return neutron_session(
        NeutronSettings(auth_type="password", auth_options=options | password, timeout_s=30, region_name=REGION)
    )


class RealWorld:
    """A real Neutron as the contract's world; people's hands are the lab's client."""

    def __init__(self, cloud: NeutronCloud, bus: NeutronMessageBus) -> None:
        self._calls: list[str] = []
        self.neutron = NeutronGateway(
            adapter_of(cloud, "mooring"), on_call=lambda operation, _outcome, _seconds: self._calls.append(operation)
        )
        self.bus = bus
        self._audience: list[SimpleQueue[PortNews]] = []
        self.admin = cloud.client("admin")
        self.service = cloud.client("mooring")

    numbers = itertools.count(1)

    def name(self) -> str:
        return f"contract-{next(self.numbers)}"

    def cidr(self) -> str:
        return f"10.{next(self.numbers) % 250}.0.0/24"

    def calls(self) -> list[str]:
        return self._calls

    def add_network(self, segments: tuple[tuple[str, bool], ...] = (("physnet2", True),)) -> Network:
        described = [
            {
                "provider:network_type": "vlan" if tagged else "flat",
                "provider:physical_network": physical if tagged else self._flat(physical),
                **({"provider:segmentation_id": 1000 + next(self.numbers)} if tagged else {}),
            }
            for physical, tagged in segments
        ]
        body = {"segments": described} if len(described) > 1 else described[0]
        return parse_network(TEST, self.admin.create("network", name=self.name(), shared=True, **body))

    def add_subnet(self, network: Network, cidr: str) -> Subnet:
        return parse_subnet(TEST, self.admin.create_subnet(network.id, cidr))

    def add_port(self, network: Network, profile: Mapping[str, object], **attributes: object) -> Port:
        trusted = attributes.pop("trusted", None)
        vnic_type = str(attributes.pop("vnic_type", "direct"))
        body = self.service.create_port(network.id, vnic_type=vnic_type, profile=dict(profile), **attributes)
        if trusted is not None:
            body = self.admin.update("port", body["id"], trusted=trusted)
        return parse_port(TEST, body)

    def change_port(self, port: Port, **attributes: object) -> None:
        if attributes.get("port_security_enabled") is False:
            attributes["security_groups"] = []
        self.admin.update("port", port.id, **attributes)

    def change_network(self, network_id: str, **attributes: object) -> None:
        self.admin.update("network", network_id, **attributes)

    def add_ovs_agent(self, host: str, *, hybrid: bool = False) -> None:
        configurations = {
            "bridge_mappings": {"physnet2": "br-physnet2"},
            "integration_bridge": "br-int",
            "ovs_hybrid_plug": hybrid,
            "tunnel_types": [],
            "datapath_type": "system",
        }
        state = {
            "agent_type": "Open vSwitch agent",
            "binary": "neutron-openvswitch-agent",
            "host": host,
            "topic": "N/A",
            "start_flag": True,
            "configurations": configurations,
        }
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
        arguments = {"agent_state": {"agent_state": state}, "time": now}
        self.bus._call(TEST, "q-reports-plugin", "1.2", "report_state", **arguments)

    def add_security_group(self) -> SecurityGroup:
        body = self.admin.call("POST", "/security-groups", {"security_group": {"name": self.name()}})
        return parse_security_group(TEST, body["security_group"])

    def add_qos_policy(self, *, max_kbps: int = 0, min_kbps: int = 0, ingress_kbps: int = 0) -> str:
        policy: str = self.admin.call("POST", "/qos/policies", {"policy": {"name": self.name(), "shared": True}})[
            "policy"
        ]["id"]
        for kind, direction, rule in (
            ("bandwidth_limit", "egress", {"max_kbps": max_kbps}),
            ("minimum_bandwidth", "egress", {"min_kbps": min_kbps}),
            ("bandwidth_limit", "ingress", {"max_kbps": ingress_kbps}),
        ):
            if any(rule.values()):
                body = {f"{kind}_rule": {**rule, "direction": direction}}
                self.admin.call("POST", f"/qos/policies/{policy}/{kind}_rules", body)
        return policy

    def change_rule(self, policy_id: str, *, max_kbps: int) -> None:
        rules = f"/qos/policies/{policy_id}/bandwidth_limit_rules"
        (rule,) = self.admin.call("GET", rules)["bandwidth_limit_rules"]
        self.admin.call("PUT", f"{rules}/{rule['id']}", {"bandwidth_limit_rule": {"max_kbps": max_kbps}})

    def listen(self) -> SimpleQueue[PortNews]:
        """Return a queue of all news from now on; one subscription serves all tests."""
        news: SimpleQueue[PortNews] = SimpleQueue()
        self._audience.append(news)
        if len(self._audience) == 1:
            self.bus.listen("listener", lambda item: [queue.put(item) for queue in self._audience])
            self._wait_for_news(news)
        return news

    def _wait_for_news(self, news: SimpleQueue[PortNews]) -> None:
        """Change a port until its change is told."""
        host = self.name()
        self.bus.report_agent(host, {"physnet2": ("ens5",)}, started=True)
        port = parse_port(TEST, self.service.create_port(self.add_network().id, vnic_type="direct", profile={}))
        binding = Binding(host=host, device_id="x", device_owner="compute:x", profile={"pci_slot": "0000:01:10.2"})
        port = self.neutron.bind(port, binding)
        for admin_state_up in itertools.islice(itertools.cycle((False, True)), 100):
            self.change_port(port, admin_state_up=admin_state_up)
            try:
                while news.get(timeout=0.5).port_id != port.id:
                    pass
            except Empty:
                continue
            return
        pytest.fail("no news came")

    def _flat(self, physical_network: str) -> str:
        """Make room: a physical network carries one flat network at a time."""
        for network in self.admin.list("network", **{"provider:network_type": "flat"}):
            if network["provider:physical_network"] == physical_network:
                for port in self.admin.list("port", network_id=network["id"]):
                    self.admin.delete("port", port["id"])
                self.admin.delete("network", network["id"])
        return physical_network


@pytest.fixture(scope="session")
def bus(cloud: NeutronCloud) -> Iterator[NeutronMessageBus]:
    bus = NeutronMessageBus(cloud.facts.transport_url())
    yield bus
    bus.close()


@pytest.fixture(scope="session")
def world(cloud: NeutronCloud, bus: NeutronMessageBus) -> Iterator[RealWorld]:
    world = RealWorld(cloud, bus)
    yield world
    world.admin.close()
    world.service.close()


class TestRealPorts(PortContract):
    pass


class TestRealNetworks(NetworkContract):
    pass


class TestRealNews(NewsContract):
    pass


def test_moorings_agent_says_that_it_follows_qos_policies(world: RealWorld) -> None:
    host = world.name()
    world.bus.report_agent(host, {"physnet2": ("ens5",)}, started=True)

    (agent,) = world.neutron.agents(host=host, agent_type=AGENT_TYPE)

    assert agent.configurations["extensions"] == ["qos"]


def test_an_account_without_the_service_role_is_told_which_roles_it_needs(
    cloud: NeutronCloud, world: RealWorld
) -> None:
    network = world.add_network()

    with pytest.raises(NeutronRefused, match="roles admin and service"):
        NeutronGateway(adapter_of(cloud, "demo")).network(network.id)


def test_a_wrong_password_is_refused_in_keystones_words(cloud: NeutronCloud) -> None:
    with pytest.raises(NeutronUnreachable, match=r"Keystone: .*HTTP 401.*; check the account mooring uses"):
        NeutronGateway(adapter_of(cloud, "mooring", password="wrong")).networks()


def test_a_token_that_neutron_no_longer_accepts_is_renewed_once(cloud: NeutronCloud) -> None:
    adapter = adapter_of(cloud, "mooring")
    gateway = NeutronGateway(adapter)
    gateway.networks(name="none")
    adapter.session.delete(
        f"{cloud.facts.auth_url()}/auth/tokens", headers={"X-Subject-Token": adapter.get_token()}, authenticated=True
    )

    assert gateway.networks(name="none") == ()


def test_a_cloud_that_limits_its_pages_is_read_to_the_end(world: RealWorld) -> None:
    network = world.add_network()
    world.add_subnet(network, world.cidr())
    made = {world.add_port(network, {}).id for _ in range(3)}
    # Neutron cuts pages by the client's limit as it does by its own.
    listed = world.neutron._list("ports", "listing", {"network_id": network.id, "limit": "2"})

    assert {port["id"] for port in listed} == made


def test_a_broker_that_is_not_there_is_given_up_in_time() -> None:
    bus = NeutronMessageBus("rabbit://nobody:nothing@127.0.0.1:1/", timeout=1)

    with pytest.raises(NeutronUnreachable, match="message bus"):
        bus.report_agent("node1", {}, started=True)
