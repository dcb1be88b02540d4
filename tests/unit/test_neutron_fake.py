from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from queue import SimpleQueue

import pytest
from neutron_contract import NetworkContract, NewsContract, PortContract

from mooring.errors import NeutronRefused, NeutronUnreachable
from mooring.neutron.api import AGENT_TYPE, Binding, PortNews
from mooring.neutron.model import Network, Port, SecurityGroup, Subnet
from mooring.testing.neutron import FakeNeutron


class FakeWorld:
    """The fake Neutron as the contract's world."""

    def __init__(self) -> None:
        self.neutron = self.bus = FakeNeutron()
        self._numbers = itertools.count(1)

    def name(self) -> str:
        return f"name-{next(self._numbers)}"

    def cidr(self) -> str:
        return f"10.{next(self._numbers)}.0.0/24"

    def calls(self) -> list[str]:
        return self.neutron.calls

    def add_network(self, segments: tuple[tuple[str, bool], ...] = (("physnet2", True),)) -> Network:
        made = [(physical, 100 + next(self._numbers) if tagged else None) for physical, tagged in segments]
        if len(made) == 1:
            return self.neutron.add_network(physical_network=made[0][0], vlan=made[0][1])
        return self.neutron.add_network(segments=made)

    def add_subnet(self, network: Network, cidr: str) -> Subnet:
        return self.neutron.add_subnet(network, cidr)

    def add_port(self, network: Network, profile: Mapping[str, object], **attributes: object) -> Port:
        return self.neutron.add_port(network, profile=profile, **attributes)

    def change_port(self, port: Port, **attributes: object) -> None:
        self.neutron.change_port(port.id, **attributes)

    def change_network(self, network_id: str, **attributes: object) -> None:
        self.neutron.change_network(network_id, **attributes)

    def add_ovs_agent(self, host: str, *, hybrid: bool = False) -> None:
        self.neutron.add_ovs_agent(host, hybrid=hybrid)

    def add_security_group(self) -> SecurityGroup:
        return self.neutron.add_security_group(self.name(), project_id="another")

    def add_qos_policy(self, *, max_kbps: int = 0, min_kbps: int = 0, ingress_kbps: int = 0) -> str:
        return self.neutron.add_qos_policy(max_kbps=max_kbps, min_kbps=min_kbps, ingress_kbps=ingress_kbps)

    def change_rule(self, policy_id: str, *, max_kbps: int) -> None:
        self.neutron.change_rule(policy_id, max_kbps=max_kbps)

    def listen(self) -> SimpleQueue[PortNews]:
        news: SimpleQueue[PortNews] = SimpleQueue()
        self.bus.listen("listener", news.put)
        return news


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld()


class TestFakePorts(PortContract):
    pass


class TestFakeNetworks(NetworkContract):
    pass


class TestFakeNews(NewsContract):
    pass


@pytest.fixture
def neutron() -> FakeNeutron:
    return FakeNeutron()


def a_port(neutron: FakeNeutron) -> Port:
    network = neutron.add_network()
    neutron.add_subnet(network)
    return neutron.add_port(network, address="10.10.0.5")


BINDING = Binding(host="node1", device_id="e1", device_owner="compute:kuryr", profile={"pci_slot": "0000:01:10.2"})


def test_a_fake_that_is_switched_off_answers_nothing(neutron: FakeNeutron) -> None:
    port = a_port(neutron)
    neutron.unreachable = True

    for work in (
        lambda: neutron.port(port.id),
        lambda: neutron.bind(port, BINDING),
        lambda: neutron.report_devices("node1", up=[port.id]),
        lambda: neutron.report_agent("node1", {}, started=True),
    ):
        with pytest.raises(NeutronUnreachable):
            work()


@pytest.mark.parametrize("reply_lost", [False, True], ids=["refused", "reply-lost"])
def test_the_call_that_was_chosen_fails_and_no_other(neutron: FakeNeutron, *, reply_lost: bool) -> None:
    port = a_port(neutron)
    neutron.report_agent("node1", {"physnet2": ("ens5",)}, started=True)
    neutron.fail_call(2, reply_lost=reply_lost)

    assert neutron.port(port.id) == port
    with pytest.raises(NeutronUnreachable):
        neutron.bind(port, BINDING)

    assert (neutron.port(port.id).device_id == "e1") is reply_lost


def test_a_chosen_call_may_fail_with_a_given_error(neutron: FakeNeutron) -> None:
    port = a_port(neutron)
    neutron.fail_call(1, error=NeutronRefused("reading", 500, "boom"))

    with pytest.raises(NeutronRefused, match="boom"):
        neutron.port(port.id)


def test_an_agent_that_neutron_takes_for_dead_binds_nothing(neutron: FakeNeutron) -> None:
    port = a_port(neutron)
    neutron.add_agent("node1", {"physnet2": ["ens5"]})
    neutron.kill_agent("node1")

    assert neutron.bind(port, BINDING).vif_type == "binding_failed"


def test_what_others_do_is_not_counted(neutron: FakeNeutron) -> None:
    port = a_port(neutron)
    neutron.change_port(port.id, name="other")
    neutron.add_agent("node1", {})

    assert neutron.now(port.id).name == "other"
    assert neutron.calls == []


@pytest.mark.parametrize("reply_lost", [False, True], ids=["refused", "reply-lost"])
def test_the_bus_call_that_was_chosen_fails_and_no_other(neutron: FakeNeutron, *, reply_lost: bool) -> None:
    neutron.report_agent("node1", {"physnet2": ("ens5",)}, started=True)
    port = neutron.bind(a_port(neutron), BINDING)
    neutron.fail_bus_call(2, reply_lost=reply_lost)

    neutron.report_devices("node1", down=[port.id])
    with pytest.raises(NeutronUnreachable):
        neutron.report_devices("node1", up=[port.id])

    assert (neutron.now(port.id).status == "ACTIVE") is reply_lost
    assert neutron.bus_calls == ["report_agent", "report_devices", "report_devices"]


def test_a_normal_port_becomes_active_when_its_l2_agent_finds_it(neutron: FakeNeutron) -> None:
    network = neutron.add_network()
    neutron.add_ovs_agent("node1")
    port = neutron.bind(neutron.add_port(network, vnic_type="normal"), BINDING)

    statuses = [port.status]
    for report in (neutron.wire, neutron.unwire):
        report("node1", port.id)
        statuses.append(neutron.now(port.id).status)

    assert statuses == ["DOWN", "ACTIVE", "DOWN"]
    assert neutron.device_reports == []


def test_a_linux_bridge_agent_binds_normal_ports_too(neutron: FakeNeutron) -> None:
    network = neutron.add_network(physical_network=None, vlan=42)
    neutron.add_bridge_agent("node1")

    assert neutron.bind(neutron.add_port(network, vnic_type="normal"), BINDING).vif_type == "bridge"


def test_an_agent_lives_and_dies_beside_those_of_other_kinds(neutron: FakeNeutron) -> None:
    neutron.add_agent("node1", {"physnet2": ["ens5"]})
    neutron.add_ovs_agent("node1")

    neutron.kill_agent("node1", "Open vSwitch agent")

    alive = {
        kind: neutron.agents(host="node1", agent_type=kind)[0].alive for kind in (AGENT_TYPE, "Open vSwitch agent")
    }
    assert alive == {AGENT_TYPE: True, "Open vSwitch agent": False}


@pytest.mark.parametrize("switch", ["unreachable", "bus_unreachable"])
def test_what_happens_while_the_bus_is_away_is_never_told(neutron: FakeNeutron, switch: str) -> None:
    port, news = a_port(neutron), []
    neutron.listen("node1", news.append)

    setattr(neutron, switch, True)
    neutron.change_network(port.network_id, mtu=1400)
    setattr(neutron, switch, False)
    assert news == []

    neutron.drop_port(port.id)
    assert news == [PortNews(port_id=port.id, deleted=True)]


def test_a_closed_bus_tells_nothing(neutron: FakeNeutron) -> None:
    port, news = a_port(neutron), []
    neutron.listen("node1", news.append)

    neutron.close()
    neutron.drop_port(port.id)

    assert news == []


def test_who_hears_news_may_ask_for_what_there_is_to_see(neutron: FakeNeutron) -> None:
    """From another thread, too, while the one that made the news still waits."""
    port, seen = a_port(neutron), []

    def look(_: PortNews) -> None:
        asking = threading.Thread(target=lambda: seen.append(neutron.now(port.id).device_id))
        asking.start()
        asking.join(10)

    neutron.add_agent("node1", {"physnet2": ["ens5"]})
    neutron.listen("node1", look)

    neutron.bind(port, BINDING)

    assert seen == ["e1"]
