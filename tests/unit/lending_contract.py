"""What every kernel promises of VFs for programs, of macvtaps on them and of whole PFs."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import Protocol

import kernel_contract
import pytest
from kernel_contract import MAC, NAME, TENANT_MAC, adopted, card, held, vf_of

from mooring.errors import KernelRefused, NotClean
from mooring.host.kernel import Netdev, VfSettings
from mooring.host.virtual import VirtualLinks
from mooring.pci.device import PhysicalFunction, VirtualFunction

TAP = "tap0test"


class World(kernel_contract.World, Protocol):
    """A kernel's world with an IOMMU, virtual links, and a PF that nothing on the host depends on."""

    links: VirtualLinks

    def open_vfio(self, vf: VirtualFunction) -> None: ...
    def close_vfio(self, vf: VirtualFunction) -> None: ...
    def move_link_to_container(self, link: str, name: str) -> None: ...
    def move_pf_to_container(self, pf: PhysicalFunction, name: str) -> None: ...
    def change_pf(
        self, pf: PhysicalFunction, *, mac: str | None = None, mtu: int | None = None, promiscuous: bool = False
    ) -> None: ...
    def pf_comes_home(self, pf: PhysicalFunction, name: str) -> None: ...
    def pf_container_dies(self, pf: PhysicalFunction) -> None: ...
    def add_pf_address(self, pf: PhysicalFunction, address: str) -> None: ...
    def add_pf_upper(self, pf: PhysicalFunction, name: str) -> None: ...
    def add_route(self, pf: PhysicalFunction) -> None: ...


def uplink(world: World) -> Netdev:
    found = world.kernel.netdev(card(world))
    assert found is not None
    return found


def bound(world: World) -> str:
    return world.kernel.bind_vfio(vf_of(world))


class LendingContract:
    """Inherit and give a ``world`` fixture."""

    def test_a_vf_for_a_program_has_a_group_and_no_interface(self, world: World) -> None:
        node = bound(world)
        assert node.startswith("/dev/vfio/")
        assert world.kernel.vfio_group(vf_of(world)) == node
        assert (vf_of(world).driver, vf_of(world).netdev, vf_of(world).elsewhere) == ("vfio-pci", None, False)
        assert str(world.kernel.user_of(vf_of(world))) == "driver vfio-pci"

    def test_a_vf_that_is_bound_stays_as_it_is(self, world: World) -> None:
        assert bound(world) == bound(world)

    def test_a_vf_without_driver_is_bound(self, world: World) -> None:
        world.bind_driver(vf_of(world), None)
        assert world.kernel.vfio_group(vf_of(world)) is None
        assert bound(world)

    def test_every_vf_has_a_group_of_its_own(self, world: World) -> None:
        assert bound(world) != world.kernel.bind_vfio(vf_of(world, 1))
        for index in (0, 1):
            world.kernel.release_vfio(vf_of(world, index), name=f"vftest{index}")

    def test_a_released_vf_has_an_idle_interface_again(self, world: World) -> None:
        bound(world)
        netdev = world.kernel.release_vfio(vf_of(world), name=NAME)
        assert (netdev.name, netdev.mtu, netdev.up) == (NAME, 1500, False)
        assert (vf_of(world).driver, vf_of(world).netdev) == ("igbvf", NAME)
        assert world.kernel.vfio_group(vf_of(world)) is None
        assert world.kernel.user_of(vf_of(world)) is None

    def test_a_vf_may_be_released_again(self, world: World) -> None:
        bound(world)
        world.kernel.release_vfio(vf_of(world), name=NAME)
        assert world.kernel.release_vfio(vf_of(world), name=NAME).name == NAME

    def test_a_release_that_was_broken_off_is_taken_up(self, world: World) -> None:
        bound(world)
        world.bind_driver(vf_of(world), None)
        assert world.kernel.release_vfio(vf_of(world), name=NAME).name == NAME

    def test_a_vf_that_a_program_drives_is_not_taken_back(self, world: World) -> None:
        node = bound(world)
        assert world.kernel.vfio_user(vf_of(world)) is None
        world.open_vfio(vf_of(world))
        assert node in str(world.kernel.vfio_user(vf_of(world)))
        with pytest.raises(KernelRefused) as refusal:
            world.kernel.release_vfio(vf_of(world), name=NAME)
        assert refusal.value.errno == errno.EBUSY
        assert world.kernel.vfio_group(vf_of(world)) == node
        world.close_vfio(vf_of(world))
        assert world.kernel.release_vfio(vf_of(world), name=NAME).name == NAME

    def test_the_pf_keeps_its_settings_while_a_program_has_the_vf(self, world: World) -> None:
        wanted = VfSettings(mac=MAC, vlan=100)
        world.kernel.write_settings(vf_of(world), wanted)
        bound(world)
        assert held(world) == wanted
        netdev = world.kernel.release_vfio(vf_of(world), name=NAME)
        assert (netdev.mac, held(world)) == (MAC, wanted)

    def test_a_macvtap_is_a_user_of_its_vf_wherever_it_is(self, world: World) -> None:
        adopted(world)
        world.links.create_macvtap(vf_of(world), TAP, mac=MAC, mtu=1500)
        assert TAP in str(world.kernel.user_of(vf_of(world)))
        world.move_link_to_container(TAP, "eth0")
        assert NAME in str(world.kernel.user_of(vf_of(world)))

    def test_adoption_ends_a_macvtap_on_the_vf(self, world: World) -> None:
        adopted(world)
        world.links.create_macvtap(vf_of(world), TAP, mac=MAC, mtu=1500)
        adopted(world)
        assert world.links.link(TAP) is None
        assert world.kernel.user_of(vf_of(world)) is None

    def test_a_pf_that_the_host_does_not_need_has_no_user(self, world: World) -> None:
        assert world.kernel.user_of(card(world)) is None

    def test_what_the_host_needs_of_a_pf_is_a_user(self, world: World) -> None:
        world.add_route(card(world))
        assert "default route" in str(world.kernel.user_of(card(world)))
        world.add_pf_address(card(world), "192.0.2.7/24")
        assert "192.0.2.7" in str(world.kernel.user_of(card(world)))
        world.add_pf_upper(card(world), "vlan9")
        assert "vlan9" in str(world.kernel.user_of(card(world)))

    def test_a_pf_takes_another_mtu(self, world: World) -> None:
        former = uplink(world)
        world.kernel.set_mtu(card(world), 1400)
        assert uplink(world).mtu == 1400
        world.kernel.restore_uplink(card(world), former)
        assert uplink(world).mtu == former.mtu

    def test_a_pf_in_another_namespace_has_a_user(self, world: World) -> None:
        world.move_pf_to_container(card(world), "eth0")
        assert str(world.kernel.user_of(card(world))) == "another network namespace"

    def test_a_pf_that_comes_home_gets_its_own_interface_back(self, world: World) -> None:
        former = uplink(world)
        world.move_pf_to_container(card(world), "eth0")
        world.change_pf(card(world), mac=TENANT_MAC, mtu=1400, promiscuous=True)
        world.pf_comes_home(card(world), "lent0")
        world.add_pf_address(card(world), "192.0.2.7/24")
        world.kernel.restore_uplink(card(world), former)
        now = uplink(world)
        assert replace(now, index=0, carrier=False) == replace(former, index=0, carrier=False)
        assert world.kernel.user_of(card(world)) is None

    def test_a_pf_whose_container_died_gets_its_own_interface_back(self, world: World) -> None:
        former = uplink(world)
        world.move_pf_to_container(card(world), "tenant0")
        world.pf_container_dies(card(world))
        assert uplink(world).name == "tenant0"
        world.kernel.restore_uplink(card(world), former)
        assert (uplink(world).name, uplink(world).up) == (former.name, former.up)

    def test_an_interface_may_be_restored_again(self, world: World) -> None:
        former = uplink(world)
        world.kernel.restore_uplink(card(world), former)
        world.kernel.restore_uplink(card(world), former)
        assert uplink(world).name == former.name

    def test_a_pf_in_another_namespace_is_not_restored(self, world: World) -> None:
        former = uplink(world)
        world.move_pf_to_container(card(world), "eth0")
        with pytest.raises(NotClean, match="another network namespace"):
            world.kernel.restore_uplink(card(world), former)

    def test_a_name_that_another_interface_took_is_refused(self, world: World) -> None:
        taken = vf_of(world).netdev
        assert taken is not None
        former = uplink(world)
        with pytest.raises(KernelRefused) as refusal:
            world.kernel.restore_uplink(card(world), replace(former, name=taken))
        assert refusal.value.errno == errno.EEXIST
