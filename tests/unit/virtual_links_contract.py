"""What all virtual links promise, those in memory and those of Linux alike."""

from __future__ import annotations

import errno
from typing import Protocol

import pytest

from mooring.errors import DeviceGone, KernelRefused, NotClean
from mooring.host.kernel import Netdev
from mooring.host.virtual import VirtualLinks
from mooring.pci.device import VirtualFunction

MAC = "fa:16:3e:00:00:0a"
NAME, PEER, TAP, BRIDGE, FOREIGN = "vtest0", "vtest0c", "tap0test", "brqtest0", "notours0"


class World(Protocol):
    """A host with an idle VF and a container."""

    links: VirtualLinks

    def vf(self) -> VirtualFunction: ...
    def lower(self) -> Netdev: ...
    def make_foreign(self, name: str) -> None: ...
    def move_link_to_container(self, link: str, name: str) -> None: ...
    def move_link_to_host(self, name: str, link: str) -> None: ...
    def links_die(self) -> None: ...
    def ports_of(self, bridge: str) -> frozenset[str]: ...


def present(world: World, name: str) -> Netdev:
    found = world.links.link(name)
    assert found is not None
    return found


def make_veth(world: World, mtu: int = 1450) -> Netdev:
    world.links.create_veth(NAME, PEER, mac=MAC, mtu=mtu)
    return present(world, NAME)


def make_macvtap(world: World, name: str = TAP, mtu: int = 1400) -> Netdev:
    world.links.create_macvtap(world.vf(), name, mac=world.lower().mac, mtu=mtu)
    return present(world, name)


class VirtualLinksContract:
    """Inherit and give a ``world`` fixture."""

    def test_where_there_is_no_link_none_is_found(self, world: World) -> None:
        assert world.links.link(NAME) is None

    def test_a_pair_has_an_end_that_is_up_and_one_with_the_ports_mac(self, world: World) -> None:
        host = make_veth(world)
        peer = present(world, PEER)
        assert (host.up, host.mtu) == (True, 1450)
        assert (peer.up, peer.mtu, peer.mac) == (False, 1450, MAC)

    def test_a_pair_replaces_what_an_earlier_attempt_left(self, world: World) -> None:
        before = make_veth(world)
        assert make_veth(world, 1400).index != before.index
        assert present(world, PEER).mtu == 1400

    def test_a_pair_replaces_one_whose_other_end_is_in_a_container(self, world: World) -> None:
        before = make_veth(world)
        world.move_link_to_container(PEER, "eth0")
        assert make_veth(world).index != before.index
        assert present(world, PEER).mac == MAC

    @pytest.mark.parametrize("end", [NAME, PEER])
    def test_a_pair_is_deleted_by_either_end(self, world: World, end: str) -> None:
        make_veth(world)
        world.links.delete_link(end)
        assert (world.links.link(NAME), world.links.link(PEER)) == (None, None)

    def test_a_link_that_is_not_there_is_deleted_with_success(self, world: World) -> None:
        world.links.delete_link(NAME)

    def test_a_pair_dies_with_the_container_that_has_its_other_end(self, world: World) -> None:
        make_veth(world)
        world.move_link_to_container(PEER, "eth0")
        world.links_die()
        assert world.links.link(NAME) is None

    def test_an_interface_that_mooring_did_not_make_keeps_its_name(self, world: World) -> None:
        world.make_foreign(FOREIGN)
        before = present(world, FOREIGN)
        attempts = (
            lambda: world.links.create_veth(FOREIGN, PEER, mac=MAC, mtu=1500),
            lambda: world.links.create_veth(NAME, FOREIGN, mac=MAC, mtu=1500),
            lambda: make_macvtap(world, FOREIGN),
            lambda: world.links.delete_link(FOREIGN),
        )
        for attempt in attempts:
            with pytest.raises(KernelRefused, match="mooring did not make") as refusal:
                attempt()
            assert refusal.value.errno == errno.EEXIST
        assert present(world, FOREIGN) == before
        assert (world.links.link(NAME), world.links.link(PEER)) == (None, None)

    def test_a_macvtap_has_the_vfs_mac_and_sets_its_interface_up(self, world: World) -> None:
        made, lower = make_macvtap(world), world.lower()
        assert (made.mac, made.mtu, made.up) == (lower.mac, 1400, False)
        assert (lower.mtu, lower.up) == (1400, True)

    def test_a_macvtap_replaces_what_an_earlier_attempt_left(self, world: World) -> None:
        before = make_macvtap(world)
        after = make_macvtap(world, mtu=1500)
        assert (after.index != before.index, after.mtu) == (True, 1500)

    def test_a_vf_has_room_for_one_macvtap(self, world: World) -> None:
        make_macvtap(world)
        with pytest.raises(KernelRefused) as refusal:
            make_macvtap(world, "tap1test")
        assert refusal.value.errno == errno.EINVAL
        assert world.links.link("tap1test") is None

    def test_a_macvtap_cannot_have_another_mac_than_its_vf(self, world: World) -> None:
        with pytest.raises(NotClean, match=MAC):
            world.links.create_macvtap(world.vf(), TAP, mac=MAC, mtu=1500)
        assert world.links.link(TAP) is None

    def test_a_macvtap_dies_with_its_container_and_its_vf_stays(self, world: World) -> None:
        make_macvtap(world)
        before = world.lower()
        world.move_link_to_container(TAP, "eth0")
        assert world.links.link(TAP) is None
        world.links_die()
        assert world.links.link(TAP) is None
        assert world.lower().index == before.index
        assert make_macvtap(world).mac == before.mac

    def test_a_macvtap_that_came_home_is_deleted(self, world: World) -> None:
        make_macvtap(world)
        world.move_link_to_container(TAP, "eth0")
        world.move_link_to_host("eth0", TAP)
        world.links.delete_link(TAP)
        assert world.links.link(TAP) is None

    def test_a_bridge_is_made_for_its_first_port(self, world: World) -> None:
        make_veth(world)
        world.links.plug_bridge(BRIDGE, NAME)
        assert present(world, BRIDGE).up
        assert world.ports_of(BRIDGE) == {NAME}

    def test_a_port_may_be_plugged_again(self, world: World) -> None:
        make_veth(world)
        world.links.plug_bridge(BRIDGE, NAME)
        before = present(world, BRIDGE)
        world.links.plug_bridge(BRIDGE, NAME)
        assert present(world, BRIDGE).index == before.index
        assert world.ports_of(BRIDGE) == {NAME}

    def test_a_bridge_keeps_its_other_ports(self, world: World) -> None:
        make_veth(world)
        world.links.plug_bridge(BRIDGE, PEER)
        world.links.plug_bridge(BRIDGE, NAME)
        assert world.ports_of(BRIDGE) == {NAME, PEER}

    def test_a_bridge_outlives_its_ports(self, world: World) -> None:
        make_veth(world)
        world.links.plug_bridge(BRIDGE, NAME)
        world.links.delete_link(NAME)
        assert world.ports_of(BRIDGE) == frozenset()
        assert present(world, BRIDGE).up

    def test_what_is_no_bridge_gets_no_ports(self, world: World) -> None:
        make_veth(world)
        with pytest.raises(KernelRefused, match="mooring did not make") as refusal:
            world.links.plug_bridge(PEER, NAME)
        assert refusal.value.errno == errno.EEXIST

    def test_an_interface_that_is_gone_is_not_plugged(self, world: World) -> None:
        with pytest.raises(DeviceGone):
            world.links.plug_bridge(BRIDGE, NAME)
