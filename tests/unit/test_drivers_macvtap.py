"""Ports of vnic_type macvtap: a VF stays on the host, and a container has a macvtap that has the VF for itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from attach_world import World

from mooring.attach.findings import FindingKind
from mooring.attach.pool import VfState
from mooring.attach.types import Lease, Whereabouts
from mooring.errors import DeviceBusy, NoFreeDevice
from mooring.neutron.model import Port

SLOT = "0000:02:10.2"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.kill()


@pytest.fixture
def port(world: World) -> Port:
    return world.port(vnic_type="macvtap")


def lease_of(world: World, attachment: str = "endpoint-1") -> Lease:
    lease = world.core.engine.find(attachment)
    assert lease is not None
    return lease


def test_the_vf_stays_on_the_host_with_the_ports_mac_and_vlan_and_is_up(world: World, port: Port) -> None:
    vf = world.run(port)

    netdev = world.kernel.netdev(vf)
    assert netdev is not None
    assert (netdev.mac, netdev.up) == (port.mac, True)
    held = world.held(vf.address)
    assert (held.mac, held.vlan, held.spoof_check) == (port.mac, 150, True)


def test_the_container_gets_a_macvtap_with_the_ports_mac_and_the_networks_mtu(world: World) -> None:
    network = world.neutron.add_network("small", physical_network="physnet2", vlan=7, mtu=1400)
    port = world.neutron.add_port(network, vnic_type="macvtap")

    vf = world.run(port)

    (inside,) = world.kernel.links_in("endpoint-1")
    assert (inside.mac, inside.mtu) == (port.mac, 1400)
    assert world.core.engine.attach("endpoint-1").interface == "mt000002100"
    assert str(vf.address) == "0000:02:10.0"


def test_the_port_is_bound_to_the_vf_and_becomes_active(world: World, port: Port) -> None:
    vf = world.run(port)
    world.core.settlement.settle()

    bound = world.neutron.now(port.id)
    assert (bound.vif_type, bound.profile["pci_slot"], bound.status) == ("hw_veb", str(vf.address), "ACTIVE")


def test_a_vf_that_the_port_names_is_given(world: World) -> None:
    port = world.port(vnic_type="macvtap", profile={"pci_slot": SLOT})

    assert str(world.run(port).address) == SLOT

    with pytest.raises(DeviceBusy, match="attachment endpoint-1"):
        world.core.engine.lease(world.request(world.port(profile={"pci_slot": SLOT}), "endpoint-2"))


def test_macvtaps_and_whole_vfs_share_one_pool(world: World) -> None:
    for number, kind in enumerate(("macvtap", "direct", "macvtap")):
        world.run(world.port(vnic_type=kind), f"endpoint-{number}")

    with pytest.raises(NoFreeDevice, match="3 leased"):
        world.core.engine.lease(world.request(world.port(vnic_type="macvtap"), "endpoint-9"))


def test_while_it_is_leased_the_vf_is_neither_taken_nor_dirty(world: World, port: Port) -> None:
    vf = world.run(port)
    world.later()

    (status,) = (found for found in world.core.devices.pool.statuses() if found.pooled.address == vf.address)
    assert status.state is VfState.LEASED
    assert len(world.kernel.links_in("endpoint-1")) == 1
    assert world.check() == ()


@pytest.mark.parametrize("how", ["leave", "die"])
def test_after_removal_nothing_is_left(world: World, port: Port, how: str) -> None:
    world.run(port)
    getattr(world, how)(lease_of(world))

    world.core.engine.detach("endpoint-1")

    assert world.unclean() == []


def test_a_macvtap_that_is_still_in_its_container_is_ended(world: World, port: Port) -> None:
    world.run(port)

    world.core.engine.detach("endpoint-1")

    assert world.kernel.links_in("endpoint-1") == ()
    assert world.unclean() == []


def test_one_that_docker_fetched_home_says_that_its_container_has_gone(world: World, port: Port) -> None:
    world.run(port)
    world.later()
    world.leave(lease_of(world))

    world.later()

    assert world.unclean() == []


def test_the_end_of_one_that_died_with_its_container_is_learnt_from_docker(world: World, port: Port) -> None:
    world.containers = set()
    world.run(port)
    world.later()
    world.die(lease_of(world))

    world.later()

    assert world.unclean() == []


def test_a_vf_that_was_set_down_is_set_up_again(world: World, port: Port) -> None:
    vf = world.run(port)
    world.kernel.set_up(vf, up=False)
    assert list(world.check()) == ["interface vf000002100 is down, wanted up"]

    world.core.round()

    assert world.check() == ()


def test_a_vlan_that_was_changed_by_hand_is_put_right(world: World, port: Port) -> None:
    vf = world.run(port)
    world.kernel.write_settings(vf, replace(world.held(vf.address), vlan=77))

    world.core.round()

    assert world.held(vf.address).vlan == 150


@pytest.mark.parametrize("what", ["driver", "namespace"])
def test_a_vf_that_somebody_took_is_reported(world: World, port: Port, what: str) -> None:
    vf = world.run(port)
    if what == "driver":
        world.kernel.bind_driver(vf, "vfio-pci")
    else:
        world.kernel.move_to_container(vf, "eth7", container="elsewhere")

    world.core.reconciler.sweep()

    assert world.core.reconciler.findings.counts()[FindingKind.DEVICE_TAKEN.value] == 1
    (told,) = world.check()
    assert Whereabouts.TAKEN.value in str(told)


def test_a_vf_that_left_the_host_takes_its_lease_with_it(world: World, port: Port) -> None:
    world.kernel.unplug(world.run(port))
    world.core.round()

    world.core.engine.detach("endpoint-1")

    assert world.unclean() == []


def test_after_a_reboot_nothing_is_left(world: World, port: Port) -> None:
    world.run(port)
    world.kill()
    world.kernel.reboot()

    world.start()

    assert world.unclean() == []
