"""The lending contract on the guest's own cards. Runs in a lab guest, for tests/lab/test_kernel_contract.py."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from kernel_contract import card, vf_of
from lending_contract import TAP, LendingContract, bound
from linux_kernel import NAMESPACE, PCI, SECONDS, LinuxWorld, ip

from mooring.host import links
from mooring.host.events import host_events
from mooring.host.kernel import Netdev
from mooring.host.virtual_links import LinuxVirtualLinks
from mooring.pci.device import PhysicalFunction, VirtualFunction

ROUTE = ("default", "metric", "4000")


@dataclass
class LendingWorld(LinuxWorld):
    """A guest's first card as it is lent in other ways than by a VF's own interface."""

    links: LinuxVirtualLinks = field(default_factory=LinuxVirtualLinks)
    group: int | None = None
    pf_upper: str | None = None
    inside: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        former = self.kernel.netdev(self._card())
        assert former is not None
        self.former: Netdev = former

    def open_vfio(self, vf: VirtualFunction) -> None:
        node = self.kernel.vfio_group(vf)
        assert node is not None
        self.group = os.open(node, os.O_RDWR)

    def close_vfio(self, vf: VirtualFunction | None = None) -> None:
        del vf
        if self.group is not None:
            os.close(self.group)
        self.group = None

    def move_link_to_container(self, link: str, name: str) -> None:
        ip("netns", "add", NAMESPACE)
        ip("link", "set", link, "netns", NAMESPACE, "name", name)
        ip("-n", NAMESPACE, "link", "set", name, "up")

    def move_pf_to_container(self, pf: PhysicalFunction, name: str) -> None:
        assert pf.netdev is not None
        self.move_link_to_container(pf.netdev, name)
        self.inside = name

    def change_pf(
        self, pf: PhysicalFunction, *, mac: str | None = None, mtu: int | None = None, promiscuous: bool = False
    ) -> None:
        del pf
        changes = [*(["address", mac] if mac else []), *(["mtu", str(mtu)] if mtu else [])]
        ip("-n", NAMESPACE, "link", "set", self.inside, *changes, "promisc", "on" if promiscuous else "off")

    def pf_comes_home(self, pf: PhysicalFunction, name: str) -> None:
        del pf
        ip("-n", NAMESPACE, "link", "set", self.inside, "down")
        ip("-n", NAMESPACE, "link", "set", self.inside, "netns", "1", "name", name)

    def pf_container_dies(self, pf: PhysicalFunction) -> None:
        with host_events() as events:
            subprocess.run(["ip", "netns", "delete", NAMESPACE], check=False, capture_output=True)
            while self.kernel.netdev(pf) is None:
                events.wait(SECONDS)

    def add_pf_address(self, pf: PhysicalFunction, address: str) -> None:
        assert pf.netdev is not None
        ip("address", "add", address, "dev", pf.netdev)

    def add_pf_upper(self, pf: PhysicalFunction, name: str) -> None:
        assert pf.netdev is not None
        ip("link", "add", "link", pf.netdev, "name", name, "type", "vlan", "id", "9")
        self.pf_upper = name

    def add_route(self, pf: PhysicalFunction) -> None:
        assert pf.netdev is not None
        ip("route", "add", *ROUTE, "dev", pf.netdev)

    def make_afresh(self) -> None:
        """Undo what was lent, too."""
        self.close_vfio()
        for left in (("link", "delete", TAP), ("link", "delete", self.pf_upper or TAP), ("route", "delete", *ROUTE)):
            subprocess.run(["ip", *left], check=False, capture_output=True)
        self.pf_upper = None
        self.pf_container_dies(self._card())
        # udev gives the PF its name as well, or makes that name an alternative one: it must have ended.
        subprocess.run(["udevadm", "settle"], check=False, capture_output=True)
        now = self.kernel.netdev(self._card())
        assert now is not None
        links.remove_addresses(now.index)
        if replace(now, carrier=True) != replace(self.former, carrier=True):
            links.rename(now.index, self.former.name)  # by its index, as udev may be renaming it, too
            links.set_mac(now.index, self.former.mac)
            links.set_mtu(now.index, self.former.mtu)
            links.set_up(now.index, up=True)
        super().make_afresh()


@pytest.fixture
def world() -> Iterator[LendingWorld]:
    world = LendingWorld()
    world.make_afresh()
    yield world
    world.make_afresh()


class TestLinuxLending(LendingContract):
    def test_the_driver_is_loaded_when_it_is_needed(self, world: LendingWorld) -> None:
        subprocess.run(["modprobe", "-r", "vfio-pci"], check=True)
        assert not (PCI / "drivers/vfio-pci").exists()
        assert bound(world)

    def test_a_released_vf_may_be_taken_by_any_driver_again(self, world: LendingWorld) -> None:
        bound(world)
        world.kernel.release_vfio(vf_of(world), name="vftest0")
        assert (PCI / "devices" / str(vf_of(world).address) / "driver_override").read_text() == "(null)\n"

    def test_vfs_work_on_after_their_pf_came_home(self, world: LendingWorld) -> None:
        world.move_pf_to_container(card(world), "eth0")
        world.pf_comes_home(card(world), "lent0")
        world.kernel.restore_uplink(card(world), world.former)
        world.await_carrier()
        assert len(world.kernel.read_settings(card(world))) == len(card(world).vfs)
