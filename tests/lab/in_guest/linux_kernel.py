"""The kernel contract on the guest's own cards. Runs in a lab guest, for tests/lab/test_kernel_contract.py."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from kernel_contract import MAC, KernelContract, adopted, vf_of

from mooring.errors import NotClean
from mooring.host import adoption, links
from mooring.host.events import host_events
from mooring.host.failures import kernel_errors
from mooring.host.kernel import VfSettings
from mooring.host.linux import LinuxKernel
from mooring.pci.address import PciAddress
from mooring.pci.device import PhysicalFunction, VirtualFunction

PCI = Path("/sys/bus/pci")
PF = PciAddress.parse("0000:01:00.0")
NAMESPACE = "mooring-contract"
SECONDS = 30.0
NO_MAC = "00:00:00:00:00:00"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@dataclass
class LinuxWorld:
    """A guest's first card, and what root does with it by hand."""

    kernel: LinuxKernel = field(default_factory=LinuxKernel)
    pf: PciAddress = PF
    upper: str | None = None
    vfs: int = 0

    def __post_init__(self) -> None:
        self.vfs = len(self._card().vfs)

    def move_to_container(self, vf: VirtualFunction, name: str) -> None:
        ip("netns", "add", NAMESPACE)
        ip("link", "set", self._interface(vf), "netns", NAMESPACE, "name", name)

    def container_dies(self, vf: VirtualFunction) -> None:
        with host_events() as events:
            ip("netns", "delete", NAMESPACE)
            while self.kernel.netdev(vf) is None:
                events.wait(SECONDS)

    def set_mac(self, vf: VirtualFunction, mac: str) -> None:
        netdev = self.kernel.netdev(vf)
        assert netdev is not None
        with kernel_errors(f"setting MAC {mac}", vf.address):
            links.set_mac(netdev.index, mac)

    def add_address(self, vf: VirtualFunction, address: str) -> None:
        ip("address", "add", address, "dev", self._interface(vf))

    def add_upper(self, vf: VirtualFunction, name: str) -> None:
        ip("link", "add", "link", self._interface(vf), "name", name, "type", "macvtap")
        self.upper = name

    def bind_driver(self, vf: VirtualFunction, driver: str | None) -> None:
        path = PCI / "devices" / str(vf.address)
        if (path / "driver").exists():
            (path / "driver/unbind").write_text(str(vf.address))
        if driver is not None:
            (path / "driver_override").write_text(driver)
            (PCI / "drivers_probe").write_text(str(vf.address))
            (path / "driver_override").write_text("\n")

    def set_pf_up(self, pf: PhysicalFunction, *, up: bool) -> None:
        assert pf.netdev is not None
        ip("link", "set", pf.netdev, "up" if up else "down")
        if up:
            self.await_carrier()

    def set_vf_count(self, pf: PhysicalFunction, vfs: int) -> None:
        with kernel_errors(f"setting sriov_numvfs to {vfs}", pf.address):
            (PCI / "devices" / str(pf.address) / "sriov_numvfs").write_text(str(vfs))

    def make_afresh(self) -> None:
        """Give the card's VFs back: as many as there were, and the first two as they were made."""
        if self.upper:
            ip("link", "delete", self.upper)
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=False, capture_output=True)
        if len(self._card().vfs) != self.vfs:
            self.set_vf_count(self._card(), 0)
            self.set_vf_count(self._card(), self.vfs)
        card = self._card()
        assert card.netdev is not None
        self.set_pf_up(card, up=True)
        for vf in card.vfs[:2]:
            number = str(vf.index)
            for setting in (("trust", "off"), ("vlan", "0"), ("spoofchk", "on"), ("mac", NO_MAC)):
                ip("link", "set", card.netdev, "vf", number, *setting)
            ip("link", "set", card.netdev, "vf", number, "max_tx_rate", "0", "min_tx_rate", "0")
            self.bind_driver(vf, "igbvf")

    def await_carrier(self) -> None:
        """Wait for the card's link; it goes down for a while when its VFs are made, and takes no limits then."""
        card = self._card()
        with host_events() as events:
            while not ((netdev := self.kernel.netdev(card)) and netdev.carrier):
                events.wait(SECONDS)

    def _card(self) -> PhysicalFunction:
        card = self.kernel.find(self.pf)
        assert isinstance(card, PhysicalFunction)
        return card

    def _interface(self, vf: VirtualFunction) -> str:
        netdev = self.kernel.netdev(vf)
        assert netdev is not None
        return netdev.name


class TestLinuxKernel(KernelContract):
    def test_adoption_works_where_new_vfs_are_kept_from_drivers(self, world: LinuxWorld) -> None:
        autoprobe = PCI / "devices" / str(PF) / "sriov_drivers_autoprobe"
        autoprobe.write_text("0")
        try:
            assert adopted(world).mac == MAC
            assert (PCI / "devices" / str(vf_of(world).address) / "driver_override").read_text() == "(null)\n"
        finally:
            autoprobe.write_text("1")

    def test_a_vf_that_no_driver_takes_is_not_clean(self, world: LinuxWorld) -> None:
        world.bind_driver(vf_of(world), None)
        autoprobe = PCI / "devices" / str(PF) / "sriov_drivers_autoprobe"
        autoprobe.write_text("0")
        try:
            with pytest.raises(NotClean, match="no driver took it"):
                adopted(world)
        finally:
            autoprobe.write_text("1")

    def test_a_driver_that_accepts_the_mac_is_not_rebound(
        self, world: LinuxWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(adoption, "_ACCEPT_MAC", {"igbvf"})  # which accepts it of a trusted VF only
        world.kernel.set_mtu(vf_of(world), 2000)
        before = world.kernel.netdev(vf_of(world))
        world.kernel.write_settings(vf_of(world), VfSettings(mac=MAC, trust=True))
        after = world.kernel.adopt_mac(vf_of(world), MAC, name="vftest0")
        assert before is not None
        assert (after.index, after.mac, after.mtu, after.up) == (before.index, MAC, 1500, False)

    def test_a_driver_that_does_not_accept_the_mac_is_rebound(
        self, world: LinuxWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(adoption, "_ACCEPT_MAC", {"igbvf"})
        assert adopted(world).mac == MAC

    def test_vfs_of_one_card_are_adopted_in_parallel(self, world: LinuxWorld) -> None:
        def adopt(index: int) -> str:
            vf, mac = vf_of(world, index), f"fa:16:3e:00:01:{index:02x}"
            world.kernel.write_settings(vf, VfSettings(mac=mac))
            return world.kernel.adopt_mac(vf, mac, name=f"vftest{index}").mac

        with ThreadPoolExecutor() as threads:
            assert list(threads.map(adopt, range(2))) == ["fa:16:3e:00:01:00", "fa:16:3e:00:01:01"]

    def test_nobody_can_unplug_one_vf_alone(self, world: LinuxWorld) -> None:
        assert not (PCI / "devices" / str(vf_of(world).address) / "remove").exists()
        assert (PCI / "devices" / str(PF) / "remove").exists()

    @pytest.fixture
    def world(self) -> Iterator[LinuxWorld]:
        subprocess.run(["modprobe", "vfio-pci"], check=True)
        world = LinuxWorld()
        world.make_afresh()
        yield world
        world.make_afresh()
