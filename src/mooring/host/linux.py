"""The kernel of this host."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mooring.errors import DeviceGone, NotClean
from mooring.host import links
from mooring.host.adoption import adopt
from mooring.host.failures import kernel_errors
from mooring.host.kernel import Netdev, VfSettings
from mooring.host.settings import read_held, verify_adopted, write_settings
from mooring.host.sysfs import Sysfs
from mooring.pci.address import PciAddress
from mooring.pci.device import PciDevice, PhysicalFunction, VirtualFunction

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class LinuxKernel:
    """Kernel, kept by sysfs and rtnetlink. Stateless, so it may be shared between threads."""

    def __init__(self, sysfs_root: Path = Path("/sys")) -> None:
        self._sysfs = Sysfs(sysfs_root)

    def boot_id(self) -> str:
        """Return the identity of this boot."""
        return _BOOT_ID.read_text().strip()

    def physical_functions(self) -> tuple[PhysicalFunction, ...]:
        """Return every SR-IOV network card with the VFs it shows now, ordered by address."""
        with kernel_errors("listing PCI devices", "this host"):
            return self._sysfs.physical_functions()

    def find(self, address: PciAddress) -> PciDevice | None:
        """Return the device at an address as it is now."""
        with kernel_errors("looking at the device", address):
            return self._sysfs.find(address)

    def read_settings(self, pf: PhysicalFunction) -> Mapping[int, VfSettings]:
        """Return what the PF holds for each of its VFs, in one request."""
        with kernel_errors("reading the settings of its VFs", pf.address):
            return self._pf_side(pf.address).read()

    def write_settings(self, vf: VirtualFunction, wanted: VfSettings) -> frozenset[str]:
        """Make the PF hold ``wanted`` for the VF."""
        return write_settings(self._pf_side(vf.parent), vf, wanted)

    def adopt_mac(self, vf: VirtualFunction, mac: str, *, name: str) -> Netdev:
        """Make the VF's driver take over the MAC that the PF holds, and bring its interface home as ``name``."""
        netdev = adopt(self._sysfs, self._now(vf), mac, name)
        verify_adopted(vf, netdev, read_held(self._pf_side(vf.parent), vf), mac)
        return netdev

    def netdev(self, device: PhysicalFunction | VirtualFunction) -> Netdev | None:
        """Return the device's interface in the daemon's namespace, or None."""
        try:
            return self._link(device.address)
        except DeviceGone:
            return None

    def set_mtu(self, vf: VirtualFunction, mtu: int) -> None:
        """Set the MTU of the VF's interface."""
        with kernel_errors(f"setting MTU {mtu}", vf.address):
            links.set_mtu(self._link(vf.address).index, mtu)
        if (now := self._link(vf.address).mtu) != mtu:
            raise NotClean(vf.address, f"the MTU is {now} after it was set to {mtu}")

    def set_up(self, vf: VirtualFunction, *, up: bool) -> None:
        """Set the VF's interface administratively up or down."""
        with kernel_errors(f"setting the interface {'up' if up else 'down'}", vf.address):
            links.set_up(self._link(vf.address).index, up=up)
        if self._link(vf.address).up != up:
            raise NotClean(vf.address, f"the interface does not stay {'up' if up else 'down'}")

    def user_of(self, vf: VirtualFunction) -> str | None:
        """Tell in words what on this host uses a VF that mooring did not lease."""
        now = self._now(vf)
        if now.elsewhere:
            return "another network namespace"
        if now.netdev is None:
            return f"driver {now.driver}" if now.driver else None
        if uppers := self._sysfs.uppers(now.address):
            return f"{', '.join(uppers)} on top of its interface {now.netdev}"
        with kernel_errors(f"reading the addresses of {now.netdev}", now.address):
            addresses = links.read_addresses(self._link(now.address).index)
        return f"the host, with {', '.join(addresses)} on {now.netdev}" if addresses else None

    def _now(self, vf: VirtualFunction) -> VirtualFunction:
        device = self.find(vf.address)
        if not isinstance(device, VirtualFunction) or (device.parent, device.index) != (vf.parent, vf.index):
            raise DeviceGone("looking at the VF", vf.address, f"it is no longer VF {vf.index} of PF {vf.parent}")
        return device

    def _pf_side(self, pf: PciAddress) -> links.PfInterface:
        if interface := self._sysfs.interface(pf):
            with kernel_errors(f"looking up interface {interface}", pf):
                return links.PfInterface(interface)
        raise DeviceGone(
            "configuring VFs", pf, "the PF's interface is not in the host's network namespace, or has no driver"
        )

    def _link(self, address: PciAddress) -> Netdev:
        """Read the device's interface; its name may pass to another device between the two looks."""
        interface = self._sysfs.interface(address)
        if interface is not None:
            with kernel_errors(f"reading interface {interface}", address):
                link = links.read_link(interface)
            if link.parent in {None, str(address)}:
                return link.netdev
        raise DeviceGone("reading its interface", address, "it has none in the host's network namespace")
