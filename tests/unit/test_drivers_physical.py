"""Ports of vnic_type direct-physical: a whole card for one container, while nobody else needs it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from attach_world import HOST, World

from mooring.attach.findings import FindingKind
from mooring.attach.pool import VfState
from mooring.attach.types import Lease, LeaseStep
from mooring.errors import BindingRefused, DeviceBusy, DeviceUnusable, MooringError, NetworkUnusable, PortUnusable
from mooring.host.kernel import Netdev
from mooring.neutron.model import Port
from mooring.pci.address import PciAddress
from mooring.pci.device import PhysicalFunction
from mooring.pci.device_spec import DeviceSpec

PF = PciAddress.parse("0000:02:00.0")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.kill()


@pytest.fixture
def port(world: World) -> Port:
    return world.port(vnic_type="direct-physical")


def uplink(world: World) -> Netdev:
    netdev = world.kernel.netdev(world.pf(PF))
    assert netdev is not None
    return netdev


def lease_of(world: World, attachment: str = "endpoint-1") -> Lease:
    lease = world.core.engine.find(attachment)
    assert lease is not None
    return lease


def states(world: World) -> set[VfState]:
    return {status.state for status in world.core.devices.pool.statuses() if status.pooled.pf.address == PF}


def test_the_container_gets_the_cards_own_interface(world: World, port: Port) -> None:
    pf = world.run(port)

    assert isinstance(pf, PhysicalFunction)
    assert (pf.address, pf.netdev) == (PF, None)
    assert world.core.engine.attach("endpoint-1").interface == "enp2s0"
    assert world.check() == ()


def test_the_port_takes_over_the_cards_mac_which_the_user_learns_before_the_binding(world: World, port: Port) -> None:
    mac = uplink(world).mac

    lease = world.core.engine.lease(world.request(port))
    assert lease.port.mac == mac

    world.core.engine.attach("endpoint-1")
    bound = world.neutron.now(port.id)
    assert (bound.vif_type, bound.mac) == ("hostdev_physical", mac)
    assert bound.profile == {
        "pci_slot": "0000:02:00.0",
        "pci_vendor_info": "8086:10c9",
        "physical_network": "physnet2",
        "device_mac_address": mac,
    }


def test_it_has_the_networks_mtu_when_it_is_handed_over_and_its_own_afterwards(world: World) -> None:
    jumbo = world.neutron.add_network("jumbo", physical_network="physnet2", vlan=9, mtu=9000)
    port = world.neutron.add_port(jumbo, vnic_type="direct-physical")
    world.core.engine.lease(world.request(port))

    world.core.engine.attach("endpoint-1")
    assert uplink(world).mtu == 9000

    world.core.engine.detach("endpoint-1")
    assert uplink(world).mtu == 1500
    assert world.unclean() == []


@pytest.mark.parametrize("how", ["leave", "die"])
def test_whatever_the_container_did_to_it_the_card_is_as_it_was(world: World, port: Port, how: str) -> None:
    pf = world.run(port)
    world.kernel.change_pf(pf, mac="02:00:00:00:00:66", mtu=2000, promiscuous=True)
    getattr(world, how)(lease_of(world))

    world.core.engine.detach("endpoint-1")

    assert world.unclean() == []
    assert world.neutron.now(port.id).mac != uplink(world).mac


def test_while_it_is_lent_its_vfs_serve_nobody_and_those_of_other_cards_do(world: World, port: Port) -> None:
    world.run(port)
    assert states(world) == {VfState.PF_LENT}

    with pytest.raises(MooringError, match="its PF is lent to attachment endpoint-1"):
        world.core.engine.lease(world.request(world.port(profile={"pci_slot": "0000:02:10.2"}), "endpoint-2"))
    other = world.neutron.add_network("other", physical_network="physnet1", vlan=8)
    world.run(world.neutron.add_port(other), "endpoint-3")

    world.later()
    assert lease_of(world).step is LeaseStep.READY
    world.end()
    assert states(world) == {VfState.FREE}


def test_vfs_of_another_card_on_the_same_network_start_while_it_is_lent(world: World) -> None:
    world.kernel.add_pf("0000:05:00.0", "enp5s0", vfs=1)
    world.kill()
    world._specs += DeviceSpec.parse_all(['{"devname": "enp5s0", "physical_network": "physnet2"}'])
    world.start()
    world.run(world.port(vnic_type="direct-physical", profile={"pci_slot": str(PF)}), "whole")

    vf = world.run(world.port(), "part")

    assert str(vf.parent) == "0000:05:00.0"


def test_vfs_that_the_container_changed_are_cleaned(world: World, port: Port) -> None:
    world.run(port)
    fake = world.kernel._pfs[PF].vfs[1]
    fake.settings = replace(fake.settings, vlan=77, trust=True)
    world.end()
    assert VfState.DIRTY in states(world)

    world.later()

    assert world.unclean() == []


def test_a_card_one_of_whose_vfs_is_leased_is_refused_with_its_holder(world: World, port: Port) -> None:
    vf = world.run(world.port(), "endpoint-7")

    with pytest.raises(DeviceBusy, match=f"in use by attachment endpoint-7: {vf.address}; remove its container first"):
        world.core.engine.lease(world.request(port))


def test_a_card_one_of_whose_vfs_is_used_by_hand_is_refused(world: World, port: Port) -> None:
    world.kernel.bind_driver(world.kernel.vf(PciAddress.parse("0000:02:10.4")), "vfio-pci")

    with pytest.raises(DeviceBusy, match=r"in use by driver vfio-pci: its VF 0000:02:10\.4; free the VF first"):
        world.core.engine.lease(world.request(port))


@pytest.mark.parametrize("use", ["route", "bridge", "address", "namespace"])
def test_a_card_that_the_host_needs_is_refused_with_what_for(world: World, port: Port, use: str) -> None:
    pf = world.pf(PF)
    match use:
        case "route":
            world.kernel.add_route(pf)
            words = "the host, with the IPv4 default route over enp2s0"
        case "bridge":
            world.kernel.add_pf_upper(pf, "br-ex")
            words = "br-ex on top of its interface enp2s0"
        case "address":
            world.kernel.add_pf_address(pf, "192.0.2.1/24")
            words = "the host, with 192.0.2.1/24 on enp2s0"
        case _:
            world.kernel.move_pf_away(pf)
            words = "it is on physnet2:150, but the devices of this host are on physnet1"

    with pytest.raises((DeviceBusy, NetworkUnusable), match=words):
        world.core.engine.lease(world.request(port))


def test_a_vf_that_is_leased_in_the_same_moment_wins(world: World, port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal arbitrates between what was looked at and what is written."""
    journal = world.core.journal
    add = journal.add

    def quicker(lease: Lease, **settles: object) -> None:
        if lease.attachment == "endpoint-1":
            world.core.engine.lease(world.request(world.port(), "endpoint-2"))
        add(lease, **settles)  # type: ignore[arg-type]

    monkeypatch.setattr(journal, "add", quicker)

    with pytest.raises(DeviceBusy, match="another container that asked in the same moment"):
        world.core.engine.lease(world.request(port))


def test_a_second_card_serves_when_the_first_is_busy(world: World, port: Port) -> None:
    world.kernel.add_pf("0000:05:00.0", "enp5s0", vfs=1)
    world.kill()
    world._specs += DeviceSpec.parse_all(['{"devname": "enp5s0", "physical_network": "physnet2"}'])
    world.start()
    world.kernel.add_route(world.pf(PF))

    assert str(world.run(port).address) == "0000:05:00.0"


@pytest.mark.parametrize(
    ("profile", "error", "sentence"),
    [
        ({"pci_slot": "0000:02:10.0"}, DeviceUnusable, "takes a physical function, which it is not"),
        ({"pci_slot": "0000:7f:00.0"}, DeviceUnusable, "no such device on this host"),
        ({"pci_slot": "0000:01:00.0"}, DeviceUnusable, "on physnet1, but the port's network is on physnet2"),
        ({"pci_slot": "0000:06:00.0"}, DeviceUnusable, "does not admit the PF itself"),
        ({"pci_vendor_info": "1137:0047"}, DeviceUnusable, "asks for pci_vendor_info 1137:0047"),
        ({"physical_network": "physnet1"}, PortUnusable, "asks for physnet1, but Neutron puts it on physnet2"),
    ],
)
def test_a_profile_that_cannot_be_meant_is_refused(
    world: World, profile: dict[str, object], error: type[MooringError], sentence: str
) -> None:
    world.kernel.add_pf("0000:06:00.0", "enp6s0")

    with pytest.raises(error, match=sentence):
        world.core.engine.lease(world.request(world.port(vnic_type="direct-physical", profile=profile)))


def test_a_card_that_the_port_names_is_given_and_still_named_afterwards(world: World) -> None:
    profile = {"pci_slot": str(PF), "pci_vendor_info": "8086:10c9", "physical_network": "physnet2"}
    port = world.port(vnic_type="direct-physical", profile=profile)

    for attachment in ("endpoint-1", "endpoint-2"):
        assert world.run(port, attachment).address == PF
        world.end(attachment)

    assert world.neutron.now(port.id).profile == profile


def test_another_mac_than_the_cards_is_refused(world: World, port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    bind = world.neutron.bind
    monkeypatch.setattr(world.neutron, "bind", lambda *given: replace(bind(*given), mac="fa:16:3e:99:99:99"))
    world.core.engine.lease(world.request(port))

    with pytest.raises(BindingRefused, match=r"Neutron answered MAC address fa:16:3e:99:99:99, but that of card"):
        world.core.engine.attach("endpoint-1")

    assert world.unclean() == []


def test_a_card_that_a_container_still_has_is_waited_for(world: World, port: Port) -> None:
    world.run(port)

    world.core.engine.detach("endpoint-1")
    world.core.round()
    lease = lease_of(world)
    assert lease.step is LeaseStep.RELEASING
    assert world.neutron.now(port.id).host == HOST, "nobody else may have the card's MAC"

    world.die(lease)
    world.later()
    assert world.unclean() == []


@pytest.mark.parametrize("how", ["leave", "die"])
def test_a_container_whose_end_nobody_told_is_ended(world: World, port: Port, how: str) -> None:
    world.run(port)
    world.later()

    getattr(world, how)(lease_of(world))
    world.later()

    assert world.unclean() == []


def test_a_card_that_left_the_host_is_reported_and_its_lease_can_end(world: World, port: Port) -> None:
    world.kernel.unplug(world.run(port))
    world.core.reconciler.sweep()
    assert world.core.reconciler.findings.counts()[FindingKind.DEVICE_GONE.value] == 1

    world.core.engine.detach("endpoint-1")

    assert world.unclean() == []


def test_after_a_reboot_nothing_is_left(world: World, port: Port) -> None:
    world.run(port)
    world.kill()
    world.kernel.reboot()

    world.start()

    assert world.unclean() == []
