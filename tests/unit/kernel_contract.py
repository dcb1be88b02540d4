"""What every kernel promises, the one in memory and the one of a host with Intel 82576 cards alike."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import Protocol

import pytest

from mooring.errors import DeviceGone, KernelRefused, NotClean
from mooring.host.kernel import Kernel, LinkState, Netdev, VfSettings
from mooring.pci.address import PciAddress
from mooring.pci.device import PhysicalFunction, VirtualFunction

MAC = "fa:16:3e:00:00:0a"
TENANT_MAC = "02:00:00:00:00:0b"
NAME = "vftest0"
SECONDS = 30.0


class World(Protocol):
    """A host with at least one card of at least two VFs, all free and with their drivers' defaults."""

    kernel: Kernel
    pf: PciAddress

    def move_to_container(self, vf: VirtualFunction, name: str) -> None: ...
    def container_dies(self, vf: VirtualFunction) -> None: ...
    def set_mac(self, vf: VirtualFunction, mac: str) -> None: ...
    def add_address(self, vf: VirtualFunction, address: str) -> None: ...
    def add_upper(self, vf: VirtualFunction, name: str) -> None: ...
    def bind_driver(self, vf: VirtualFunction, driver: str | None) -> None: ...
    def set_pf_up(self, pf: PhysicalFunction, *, up: bool) -> None: ...
    def set_vf_count(self, pf: PhysicalFunction, vfs: int) -> None: ...


def card(world: World) -> PhysicalFunction:
    device = world.kernel.find(world.pf)
    assert isinstance(device, PhysicalFunction)
    return device


def vf_of(world: World, index: int = 0) -> VirtualFunction:
    return card(world).vfs[index]


def held(world: World, index: int = 0) -> VfSettings:
    return world.kernel.read_settings(card(world))[index]


def adopted(world: World, mac: str = MAC) -> Netdev:
    vf = vf_of(world)
    world.kernel.write_settings(vf, replace(held(world), mac=mac))
    return world.kernel.adopt_mac(vf, mac, name=NAME)


class KernelContract:
    """Inherit and give a ``world`` fixture."""

    def test_a_boot_has_one_identity(self, world: World) -> None:
        assert world.kernel.boot_id() == world.kernel.boot_id() != ""

    def test_every_listed_device_is_found_by_its_address(self, world: World) -> None:
        cards = world.kernel.physical_functions()
        assert [pf.address for pf in cards] == sorted(pf.address for pf in cards)
        for pf in cards:
            assert world.kernel.find(pf.address) == pf
            for vf in pf.vfs:
                assert world.kernel.find(vf.address) == vf

    def test_devices_for_programs_are_listed_apart_from_cards(self, world: World) -> None:
        plain = world.kernel.plain_devices()
        assert [device.address for device in plain] == sorted(device.address for device in plain)
        assert {device.address for device in plain}.isdisjoint({world.pf, *(vf.address for vf in card(world).vfs)})
        for device in plain:
            assert world.kernel.find(device.address) is not None

    def test_vfs_come_in_the_order_of_their_index_and_know_their_pf(self, world: World) -> None:
        vfs = card(world).vfs
        assert [vf.index for vf in vfs] == list(range(len(vfs)))
        assert {(vf.parent, vf.vendor_info, vf.driver) for vf in vfs} == {(world.pf, "8086:10ca", "igbvf")}

    def test_where_there_is_no_device_none_is_found(self, world: World) -> None:
        assert world.kernel.find(PciAddress(0xFFFFFF, 0, 0, 0)) is None

    def test_the_settings_of_every_vf_are_read_by_index(self, world: World) -> None:
        assert set(world.kernel.read_settings(card(world))) == {vf.index for vf in card(world).vfs}

    def test_a_fresh_vf_is_untagged_unlimited_and_checked(self, world: World) -> None:
        assert held(world) == VfSettings(mac=held(world).mac)

    def test_what_was_written_is_held(self, world: World) -> None:
        wanted = VfSettings(mac=MAC, vlan=100, qos=3, spoof_check=False, trust=True, max_tx_rate=200)
        assert world.kernel.write_settings(vf_of(world), wanted) == frozenset()
        assert held(world) == wanted

    def test_writing_leaves_the_other_vfs_alone(self, world: World) -> None:
        before = held(world, 1)
        world.kernel.write_settings(vf_of(world), VfSettings(mac=MAC, vlan=100))
        assert held(world, 1) == before

    def test_a_switch_that_nobody_asked_for_stays(self, world: World) -> None:
        world.kernel.write_settings(vf_of(world), VfSettings(mac=MAC, spoof_check=False, trust=True))
        world.kernel.write_settings(vf_of(world), VfSettings(mac=MAC, spoof_check=None, trust=None))
        assert (held(world).spoof_check, held(world).trust) == (False, True)

    def test_what_the_driver_cannot_set_is_named_and_the_rest_is_set(self, world: World) -> None:
        wanted = VfSettings(mac=MAC, vlan=7, min_tx_rate=10, max_tx_rate=100, link_state=LinkState.ENABLE)
        assert world.kernel.write_settings(vf_of(world), wanted) == {"min_tx_rate", "link_state"}
        assert held(world) == VfSettings(mac=MAC, vlan=7, max_tx_rate=100)

    def test_a_service_tag_is_more_than_igb_can(self, world: World) -> None:
        wanted = VfSettings(mac=MAC, vlan=7, service_tag=True)
        assert world.kernel.write_settings(vf_of(world), wanted) == {"vlan", "service_tag"}
        assert held(world).mac == MAC

    def test_a_refused_value_does_not_keep_the_rest_from_being_set(self, world: World) -> None:
        with pytest.raises(KernelRefused, match="vlan 4096") as refusal:
            world.kernel.write_settings(vf_of(world), VfSettings(mac=MAC, vlan=4096, trust=True))
        assert refusal.value.errno == errno.EINVAL
        assert (held(world).mac, held(world).vlan, held(world).trust) == (MAC, 0, True)

    def test_every_refusal_is_told(self, world: World) -> None:
        with pytest.raises(KernelRefused) as refusal:
            world.kernel.write_settings(vf_of(world), VfSettings(mac="01:00:5e:00:00:01", qos=8))
        assert "qos 8" in str(refusal.value)
        assert any("01:00:5e:00:00:01" in note for note in refusal.value.__notes__)

    def test_a_limit_above_the_link_speed_is_refused(self, world: World) -> None:
        with pytest.raises(KernelRefused, match="max_tx_rate 100000"):
            world.kernel.write_settings(vf_of(world), VfSettings(mac=MAC, max_tx_rate=100_000))

    def test_a_pf_that_is_down_takes_a_mac_and_a_vlan_but_no_limit(self, world: World) -> None:
        world.set_pf_up(card(world), up=False)
        with pytest.raises(KernelRefused, match="max_tx_rate 100"):
            world.kernel.write_settings(vf_of(world), VfSettings(mac=MAC, vlan=3, max_tx_rate=100))
        assert (held(world).mac, held(world).vlan, held(world).max_tx_rate) == (MAC, 3, 0)

    def test_a_pf_that_is_down_teaches_its_vfs_no_mac(self, world: World) -> None:
        world.set_pf_up(card(world), up=False)
        with pytest.raises(NotClean, match="must be up"):
            adopted(world)
        world.set_pf_up(card(world), up=True)
        assert adopted(world).mac == MAC

    def test_a_vf_that_the_pf_does_not_have_is_gone(self, world: World) -> None:
        stranger = replace(vf_of(world), index=99)
        with pytest.raises(DeviceGone):
            world.kernel.write_settings(stranger, VfSettings(mac=MAC))
        with pytest.raises(DeviceGone):
            world.kernel.adopt_mac(stranger, MAC, name=NAME)

    def test_the_mac_on_the_pf_is_not_yet_the_interfaces(self, world: World) -> None:
        world.kernel.write_settings(vf_of(world), VfSettings(mac=MAC))
        now = world.kernel.netdev(vf_of(world))
        assert now is not None
        assert now.mac != MAC

    def test_adoption_gives_an_idle_interface_with_the_mac_and_the_name(self, world: World) -> None:
        netdev = adopted(world)
        assert (netdev.name, netdev.mac, netdev.mtu, netdev.up) == (NAME, MAC, 1500, False)
        assert world.kernel.netdev(vf_of(world)) == netdev
        assert vf_of(world).netdev == NAME
        assert held(world).mac == MAC

    def test_adoption_may_be_repeated(self, world: World) -> None:
        adopted(world)
        assert adopted(world).mac == MAC
        assert adopted(world, "fa:16:3e:00:00:0c").mac == "fa:16:3e:00:00:0c"

    def test_adoption_keeps_what_the_pf_holds(self, world: World) -> None:
        wanted = VfSettings(mac=MAC, vlan=100, qos=2, max_tx_rate=300)
        world.kernel.write_settings(vf_of(world), wanted)
        world.kernel.adopt_mac(vf_of(world), MAC, name=NAME)
        assert held(world) == wanted

    def test_adoption_of_another_mac_than_the_pf_holds_is_not_clean(self, world: World) -> None:
        world.kernel.write_settings(vf_of(world), VfSettings(mac=MAC))
        with pytest.raises(NotClean):
            world.kernel.adopt_mac(vf_of(world), TENANT_MAC, name=NAME)

    def test_a_name_that_another_interface_has_is_refused(self, world: World) -> None:
        world.kernel.write_settings(vf_of(world), VfSettings(mac=MAC))
        taken = card(world).netdev
        assert taken is not None
        with pytest.raises(KernelRefused) as refusal:
            world.kernel.adopt_mac(vf_of(world), MAC, name=taken)
        assert refusal.value.errno == errno.EEXIST

    def test_adoption_brings_the_interface_home_from_a_container(self, world: World) -> None:
        adopted(world)
        world.kernel.set_mtu(vf_of(world), 2000)
        world.move_to_container(vf_of(world), "eth0")
        assert vf_of(world).elsewhere
        assert world.kernel.netdev(vf_of(world)) is None
        netdev = adopted(world, "fa:16:3e:00:00:0c")
        assert (netdev.name, netdev.mac, netdev.mtu) == (NAME, "fa:16:3e:00:00:0c", 1500)
        assert not vf_of(world).elsewhere

    def test_adoption_cleans_what_a_dead_container_left(self, world: World) -> None:
        adopted(world)
        world.move_to_container(vf_of(world), "tenant0")
        world.container_dies(vf_of(world))
        left = world.kernel.netdev(vf_of(world))
        assert left is not None
        assert (left.name, left.mac) == ("tenant0", MAC)
        assert adopted(world, "fa:16:3e:00:00:0c").name == NAME

    def test_adoption_binds_a_vf_without_driver(self, world: World) -> None:
        world.bind_driver(vf_of(world), None)
        assert (vf_of(world).driver, vf_of(world).netdev) == (None, None)
        assert adopted(world).mac == MAC
        assert vf_of(world).driver == "igbvf"

    def test_adoption_takes_no_vf_from_a_virtual_machine(self, world: World) -> None:
        world.bind_driver(vf_of(world), "vfio-pci")
        with pytest.raises(NotClean, match="vfio-pci"):
            adopted(world)
        assert vf_of(world).driver == "vfio-pci"

    def test_the_pf_keeps_its_settings_wherever_the_vf_goes(self, world: World) -> None:
        wanted = VfSettings(mac=MAC, vlan=100)
        world.kernel.write_settings(vf_of(world), wanted)
        world.kernel.adopt_mac(vf_of(world), MAC, name=NAME)
        world.move_to_container(vf_of(world), "eth0")
        assert held(world) == wanted
        world.container_dies(vf_of(world))
        assert held(world) == wanted

    def test_an_untrusted_vf_keeps_the_mac_of_its_pf(self, world: World) -> None:
        adopted(world)
        with pytest.raises(KernelRefused) as refusal:
            world.set_mac(vf_of(world), TENANT_MAC)
        assert refusal.value.errno == errno.EADDRNOTAVAIL
        assert held(world).mac == MAC

    def test_a_trusted_vf_changes_the_mac_of_its_pf(self, world: World) -> None:
        world.kernel.write_settings(vf_of(world), VfSettings(mac=MAC, trust=True))
        world.kernel.adopt_mac(vf_of(world), MAC, name=NAME)
        world.set_mac(vf_of(world), TENANT_MAC)
        assert held(world).mac == TENANT_MAC

    def test_mtu_and_state_of_the_interface_are_set(self, world: World) -> None:
        vf = vf_of(world)
        world.kernel.set_mtu(vf, 1400)
        world.kernel.set_up(vf, up=True)
        up = world.kernel.netdev(vf)
        assert up is not None
        assert (up.mtu, up.up) == (1400, True)
        world.kernel.set_up(vf, up=False)
        down = world.kernel.netdev(vf)
        assert down is not None
        assert not down.up

    def test_an_mtu_that_the_driver_does_not_take_is_refused(self, world: World) -> None:
        with pytest.raises(KernelRefused, match="MTU 60000"):
            world.kernel.set_mtu(vf_of(world), 60000)

    def test_an_interface_elsewhere_cannot_be_set(self, world: World) -> None:
        adopted(world)
        world.move_to_container(vf_of(world), "eth0")
        with pytest.raises(DeviceGone):
            world.kernel.set_mtu(vf_of(world), 1400)
        with pytest.raises(DeviceGone):
            world.kernel.set_up(vf_of(world), up=True)

    def test_a_free_vf_has_no_user(self, world: World) -> None:
        assert world.kernel.user_of(vf_of(world)) is None

    def test_a_vf_without_driver_has_no_user(self, world: World) -> None:
        world.bind_driver(vf_of(world), None)
        assert world.kernel.user_of(vf_of(world)) is None

    def test_a_virtual_machine_is_a_user(self, world: World) -> None:
        world.bind_driver(vf_of(world), "vfio-pci")
        user = world.kernel.user_of(vf_of(world))
        assert user is not None
        assert (str(user), user.marks) == ("driver vfio-pci", {"vfio-pci"})

    def test_another_namespace_is_a_user(self, world: World) -> None:
        world.move_to_container(vf_of(world), "eth0")
        assert str(world.kernel.user_of(vf_of(world))) == "another network namespace"

    def test_an_ip_address_is_a_user(self, world: World) -> None:
        world.add_address(vf_of(world), "192.0.2.7/24")
        user = world.kernel.user_of(vf_of(world))
        assert user is not None
        assert (user.marks, "192.0.2.7" in str(user)) == ({"192.0.2.7"}, True)

    def test_an_interface_on_top_is_a_user(self, world: World) -> None:
        world.add_upper(vf_of(world), "macvtap9")
        assert "macvtap9" in str(world.kernel.user_of(vf_of(world)))

    def test_a_link_local_address_is_no_user(self, world: World) -> None:
        world.kernel.set_up(vf_of(world), up=True)  # Linux gives it fe80::/64
        assert world.kernel.user_of(vf_of(world)) is None
        world.kernel.set_up(vf_of(world), up=False)

    def test_a_device_that_is_not_there_has_no_interface(self, world: World) -> None:
        nowhere = PciAddress(0xFFFFFF, 0, 0, 0)
        assert world.kernel.netdev(replace(card(world), address=nowhere)) is None
        with pytest.raises(DeviceGone):
            world.kernel.read_settings(replace(card(world), address=nowhere))

    def test_a_change_before_the_wait_is_not_missed(self, world: World) -> None:
        with world.kernel.events() as events:
            world.kernel.set_mtu(vf_of(world), 1400)
            assert events.wait(SECONDS)

    def test_a_driver_without_an_interface_is_a_change(self, world: World) -> None:
        world.bind_driver(vf_of(world), None)
        with world.kernel.events() as events:
            while events.wait(0):
                pass
            world.bind_driver(vf_of(world), "vfio-pci")
            assert events.wait(SECONDS)

    def test_an_interface_that_comes_back_is_a_change(self, world: World) -> None:
        world.move_to_container(vf_of(world), "eth0")
        with world.kernel.events() as events:
            world.container_dies(vf_of(world))
            assert events.wait(SECONDS)

    def test_what_igb_does_not_count_is_not_told_as_zero(self, world: World) -> None:
        assert world.kernel.counters(card(world)) == {}

    def test_a_card_that_has_so_many_vfs_keeps_them(self, world: World) -> None:
        adopted(world)
        before = card(world)
        assert world.kernel.resize(before, len(before.vfs)) == before
        assert held(world).mac == MAC

    @pytest.mark.parametrize("vfs", [-1, 1000])
    def test_a_number_that_the_card_cannot_have_costs_no_vf(self, world: World, vfs: int) -> None:
        adopted(world)
        before = card(world)
        with pytest.raises(KernelRefused, match=f"can have {before.total_vfs} at most") as refusal:
            world.kernel.resize(before, vfs)
        assert refusal.value.errno == errno.ERANGE
        assert card(world) == before
        assert held(world).mac == MAC

    def test_another_number_of_vfs_makes_all_of_them_anew(self, world: World) -> None:
        adopted(world)
        world.kernel.write_settings(vf_of(world), VfSettings(mac=MAC, vlan=100, trust=True))
        world.move_to_container(vf_of(world), "eth0")
        fewer = len(card(world).vfs) - 1
        after = world.kernel.resize(card(world), fewer)
        assert [vf.index for vf in after.vfs] == [vf.index for vf in card(world).vfs] == list(range(fewer))
        assert (after.vfs[0].driver, after.vfs[0].elsewhere) == ("igbvf", False)
        settings = held(world)
        assert settings == VfSettings(mac=settings.mac)
        assert settings.mac != MAC

    def test_a_card_may_lose_all_its_vfs_and_get_them_back(self, world: World) -> None:
        vfs = card(world).vfs
        assert world.kernel.resize(card(world), 0).vfs == ()
        assert world.kernel.read_settings(card(world)) == {}
        assert world.kernel.find(vfs[0].address) is None
        restored = world.kernel.resize(card(world), len(vfs)).vfs
        assert [vf.address for vf in restored] == [vf.address for vf in vfs]

    def test_vfs_removed_by_hand_are_gone_from_containers_too(self, world: World) -> None:
        vf = vf_of(world)
        world.move_to_container(vf, "eth0")
        with world.kernel.events() as events:
            world.set_vf_count(card(world), 0)
            assert events.wait(SECONDS)
        assert world.kernel.find(vf.address) is None
        with pytest.raises(DeviceGone):
            world.kernel.write_settings(vf, VfSettings(mac=MAC))

    def test_by_hand_some_vfs_become_others_by_way_of_none_only(self, world: World) -> None:
        with pytest.raises(KernelRefused) as refusal:
            world.set_vf_count(card(world), len(card(world).vfs) - 1)
        assert refusal.value.errno == errno.EBUSY

    def test_a_card_that_is_not_there_has_no_vfs_to_change(self, world: World) -> None:
        with pytest.raises(DeviceGone):
            world.kernel.resize(replace(card(world), address=PciAddress(0xFFFFFF, 0, 0, 0)), 1)
