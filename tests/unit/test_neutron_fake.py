from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest
from neutron_contract import NetworkContract, PortContract

from mooring.errors import NeutronRefused, NeutronUnreachable
from mooring.neutron.api import Binding
from mooring.neutron.model import Network, Port, Subnet
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


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld()


class TestFakePorts(PortContract):
    pass


class TestFakeNetworks(NetworkContract):
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
