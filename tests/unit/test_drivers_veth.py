"""Ports of vnic_type normal: a veth pair in a container, plugged in where the host's L2 agent looks for it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from attach_world import HOST, World

from mooring.attach.engine import Patience
from mooring.attach.findings import FindingKind
from mooring.attach.types import LeaseStep
from mooring.errors import BindingRefused, PortBusy, PortUnusable, SwitchRefused
from mooring.neutron.model import Port
from mooring.testing.neutron_drivers import OVS_AGENT


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.kill()


@pytest.fixture
def port(world: World) -> Port:
    return world.port(vnic_type="normal")


def test_the_container_gets_the_end_of_a_pair_that_has_the_ports_mac_and_the_networks_mtu(world: World) -> None:
    network = world.neutron.add_network("small", physical_network="physnet1", vlan=7, mtu=1400)
    port = world.neutron.add_port(network, vnic_type="normal")

    assert world.run(port) is None

    (inside,) = world.kernel.links_in("endpoint-1")
    assert (inside.mac, inside.mtu) == (port.mac, 1400)
    outside = world.kernel.link(f"tap{port.id[:11]}")
    assert outside is not None
    assert (outside.mtu, outside.up) == (1400, True)


def test_the_interface_to_be_moved_is_called_as_kuryr_calls_it(world: World, port: Port) -> None:
    world.core.engine.lease(world.request(port))

    attachment = world.core.engine.attach("endpoint-1")

    assert (attachment.interface, attachment.device) == (f"t_c{port.id[:8]}", None)
    assert world.kernel.link(attachment.interface) is not None


def test_the_other_end_is_plugged_into_open_vswitch_as_its_agent_expects(world: World, port: Port) -> None:
    world.run(port)

    assert world.switch.bridges["br-int"][f"tap{port.id[:11]}"] == {
        "iface-id": port.id,
        "iface-status": "active",
        "attached-mac": port.mac,
        "vm-uuid": "endpoint-1",
    }


def test_a_linux_bridge_is_made_where_the_agent_expects_it(world: World, port: Port) -> None:
    world.neutron.kill_agent(HOST, OVS_AGENT)
    world.neutron.add_bridge_agent(HOST)

    world.run(port)

    assert world.kernel.ports_of(f"brq{port.network_id[:11]}") == {f"tap{port.id[:11]}"}
    assert world.switch.plugged() == {}
    assert world.check() == ()
    world.end()
    assert world.unclean() == []


def test_neutron_hears_from_the_l2_agent_that_it_is_up_and_from_mooring_nothing(world: World, port: Port) -> None:
    world.run(port)
    world.core.round()

    assert world.neutron.device_reports == []
    assert world.neutron.now(port.id).status == "DOWN"
    world.neutron.wire(HOST, port.id)
    assert world.neutron.now(port.id).status == "ACTIVE"


def test_a_start_that_must_be_active_waits_for_the_l2_agents_word(world: World, port: Port) -> None:
    world.kill()
    core = world.start(Patience(active_timeout_s=10, active_required=True))
    core.engine.lease(world.request(port))
    core.settlement.wait(0)  # whatever the start asked for is done

    with ThreadPoolExecutor(1) as pool:
        joining = pool.submit(core.engine.attach, "endpoint-1")
        core.settlement.wait(10)
        world.neutron.wire(HOST, port.id)
        core.settlement.settle()
        joining.result()

    assert world.neutron.now(port.id).status == "ACTIVE"


def test_it_needs_no_vf_and_no_physical_network(world: World) -> None:
    for number in range(3):
        world.run(world.port(), f"vf-{number}")
    tunnel = world.neutron.add_network("tunnel", physical_network=None, vlan=4)
    port = world.neutron.add_port(tunnel, vnic_type="normal")

    world.run(port)

    lease = world.core.engine.find("endpoint-1")
    assert lease is not None
    assert (lease.device, lease.parent, lease.physical_network, lease.wanted) == (None, None, None, None)
    assert world.neutron.now(port.id).profile == {}


@pytest.mark.parametrize("kind", ["normal", "direct"])
def test_both_kinds_of_containers_live_on_one_host(world: World, kind: str) -> None:
    for number in range(2):
        world.run(world.port(vnic_type="normal"), f"veth-{number}")
        world.run(world.port(vnic_type="direct"), f"vf-{number}")

    for number in range(2):
        world.end(f"{'veth' if kind == 'normal' else 'vf'}-{number}")
    for number in range(2):
        world.end(f"{'vf' if kind == 'normal' else 'veth'}-{number}")

    assert world.unclean() == []


def test_after_removal_nothing_is_left(world: World, port: Port) -> None:
    world.run(port)
    world.end()
    assert world.unclean() == []


def test_a_pair_that_died_with_its_container_is_unplugged_all_the_same(world: World, port: Port) -> None:
    world.run(port)
    lease = world.core.engine.find("endpoint-1")
    assert lease is not None
    world.die(lease)
    assert world.switch.plugged() != {}

    world.core.engine.detach("endpoint-1")

    assert world.unclean() == []


@pytest.mark.parametrize("how", ["leave", "die"])
def test_a_container_whose_end_nobody_told_is_ended(world: World, port: Port, how: str) -> None:
    world.run(port)
    world.later()
    lease = world.core.engine.find("endpoint-1")
    assert lease is not None

    getattr(world, how)(lease)
    world.later()

    assert world.unclean() == []


def test_a_port_that_a_container_has_already_is_refused(world: World, port: Port) -> None:
    world.run(port)

    with pytest.raises(PortBusy, match="attachment endpoint-1 on this host"):
        world.core.engine.lease(world.request(port, "endpoint-2"))


def test_a_port_that_somebody_took_out_of_open_vswitch_is_plugged_in_again(world: World, port: Port) -> None:
    world.run(port)
    name = f"tap{port.id[:11]}"
    world.switch.unplug(name)
    assert list(world.check()) == [f"iface-id of {name} is None, wanted {port.id}"]

    world.core.round()

    assert world.switch.plugged() == {name: port.id}
    assert world.check() == ()


def test_while_open_vswitch_is_away_the_removal_succeeds_and_is_finished_later(world: World, port: Port) -> None:
    world.run(port)
    world.switch.away = True

    world.end()
    world.later()

    lease = world.core.engine.find("endpoint-1")
    assert lease is not None
    assert lease.step is LeaseStep.RELEASING
    world.switch.away = False
    world.later()
    assert world.unclean() == []


def test_while_open_vswitch_is_away_a_start_fails_clearly_and_is_undone_later(world: World, port: Port) -> None:
    world.core.engine.lease(world.request(port))
    world.switch.away = True

    with pytest.raises(SwitchRefused, match=r"plugging tap.* into br-int failed in Open vSwitch"):
        world.core.engine.attach("endpoint-1")

    world.switch.away = False
    world.core.round()
    assert world.unclean() == []


def test_while_open_vswitch_is_away_other_containers_are_looked_after(world: World, port: Port) -> None:
    world.run(port, "endpoint-1")
    vf = world.run(world.port(), "endpoint-2")
    world.switch.away = True
    world.kernel.container_dies(vf)

    world.later()

    assert [lease.attachment for lease in world.core.journal.leases()] == ["endpoint-1"]
    assert world.core.reconciler.findings.counts() == {FindingKind.HOST_UNSEEN.value: 1}


def test_open_vswitch_is_asked_once_in_a_round_whether_it_answers_or_not(world: World) -> None:
    for number in range(3):
        world.run(world.port(vnic_type="normal"), f"endpoint-{number}")

    for away in (False, True):
        world.switch.away = away
        before = world.switch.calls
        world.core.reconciler.sweep()
        assert world.switch.calls == before + 1


def test_what_open_vswitch_kept_over_a_reboot_is_unplugged(world: World, port: Port) -> None:
    world.run(port)
    world.kill()
    world.kernel.reboot()
    assert world.switch.plugged() != {}

    world.start()

    assert world.unclean() == []


def test_the_hybrid_plug_is_refused_with_its_remedy(world: World, port: Port) -> None:
    world.neutron.add_ovs_agent(HOST, hybrid=True)
    world.core.engine.lease(world.request(port))

    with pytest.raises(BindingRefused, match=r"vnic_type normal with vif_type ovs.*firewall_driver = openvswitch"):
        world.core.engine.attach("endpoint-1")

    assert world.unclean() == []


def test_without_an_l2_agent_the_start_fails_and_says_so(world: World, port: Port) -> None:
    world.neutron.kill_agent(HOST, OVS_AGENT)
    world.core.engine.lease(world.request(port))

    with pytest.raises(BindingRefused, match="there must be an L2 agent"):
        world.core.engine.attach("endpoint-1")

    assert world.unclean() == []


def test_a_program_cannot_drive_a_pair(world: World, port: Port) -> None:
    with pytest.raises(PortUnusable, match="vfio-pci serves direct ports only"):
        world.core.engine.lease(world.request(port, vf_driver="vfio-pci"))
