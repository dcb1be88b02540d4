"""The kernel of this host."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from mooring.errors import DeviceGone, NotClean
from mooring.host import links
from mooring.host.adoption import adopt, take_name
from mooring.host.events import host_events
from mooring.host.failures import kernel_errors
from mooring.host.interfaces import interface_index, read_interface
from mooring.host.kernel import DeviceUser, HostEvents, Netdev, VfCounters, VfSettings
from mooring.host.resizing import CountFile, resize
from mooring.host.settings import read_held, verify_adopted, write_settings
from mooring.host.sysfs import Sysfs
from mooring.host.uplink import restore_uplink
from mooring.host.users import user_of
from mooring.host.vf_info import COUNTING_DRIVERS
from mooring.host.vfio import Vfio
from mooring.pci.address import PciAddress
from mooring.pci.device import PciDevice, PhysicalFunction, PlainDevice, VirtualFunction

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class LinuxKernel:
    """Kernel, kept by sysfs and rtnetlink. Safe to share between threads."""

    def __init__(self, sysfs_root: Path = Path("/sys")) -> None:
        self._sysfs = Sysfs(sysfs_root)
        self._vfio = Vfio(self._sysfs)

    def boot_id(self) -> str:
        """Return the identity of this boot."""
        return _BOOT_ID.read_text().strip()

    def physical_functions(self) -> tuple[PhysicalFunction, ...]:
        """Return every SR-IOV network card with the VFs it shows now, ordered by address."""
        with kernel_errors("listing PCI devices", "this host"):
            return self._sysfs.physical_functions()

    def plain_devices(self) -> tuple[PlainDevice, ...]:
        """Return every device that is for programs, ordered by address."""
        with kernel_errors("listing PCI devices", "this host"):
            return self._sysfs.plain_devices()

    def find(self, address: PciAddress) -> PciDevice | None:
        """Return the device at an address as it is now."""
        with kernel_errors("looking at the device", address):
            return self._sysfs.find(address)

    def read_settings(self, pf: PhysicalFunction) -> Mapping[int, VfSettings]:
        """Return what the PF holds for each of its VFs, in one request."""
        with kernel_errors("reading the settings of its VFs", pf.address):
            return self._pf_side(pf.address).read()

    def counters(self, pf: PhysicalFunction) -> Mapping[int, VfCounters]:
        """Return what the PF has counted for each of its VFs, nothing for drivers that do not count."""
        if pf.driver not in COUNTING_DRIVERS:
            return {}
        with kernel_errors("reading the counters of its VFs", pf.address):
            return self._pf_side(pf.address).read_counters()

    def resize(self, pf: PhysicalFunction, vfs: int) -> PhysicalFunction:
        """Make the PF show this many VFs."""
        resize(CountFile(self._sysfs.path(pf.address)), pf, vfs)
        return self._pf_now(pf)

    def events(self) -> AbstractContextManager[HostEvents]:
        """Listen to changes of interfaces and PCI devices, from now on."""
        return host_events()

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

    def set_mtu(self, device: PhysicalFunction | VirtualFunction, mtu: int) -> None:
        """Set the MTU of the device's interface."""
        with kernel_errors(f"setting MTU {mtu}", device.address):
            links.set_mtu(interface_index(self._sysfs, device.address), mtu)
        if (now := self._link(device.address).mtu) != mtu:
            raise NotClean(device.address, f"the MTU is {now} after it was set to {mtu}")

    def set_up(self, vf: VirtualFunction, *, up: bool) -> None:
        """Set the VF's interface administratively up or down."""
        with kernel_errors(f"setting the interface {'up' if up else 'down'}", vf.address):
            links.set_up(interface_index(self._sysfs, vf.address), up=up)
        if self._link(vf.address).up != up:
            raise NotClean(vf.address, f"the interface does not stay {'up' if up else 'down'}")

    def user_of(self, device: VirtualFunction | PhysicalFunction) -> DeviceUser | None:
        """Tell what on this host uses a device that mooring did not lease."""
        return user_of(self._sysfs, self._still_there(device).address)

    def bind_vfio(self, vf: VirtualFunction) -> str:
        """Reset the VF and bind it to vfio-pci; return its group's node."""
        return self._vfio.bind(self._now(vf).address)

    def release_vfio(self, vf: VirtualFunction, *, name: str) -> Netdev:
        """Take the VF from vfio-pci and give it to its network driver, its interface called ``name``."""
        now = self._now(vf)
        self._vfio.release(now.address)
        return take_name(self._sysfs, now, name)

    def vfio_group(self, device: VirtualFunction | PlainDevice) -> str | None:
        """Return the node of a device's group, or None when it is not bound to vfio-pci."""
        with kernel_errors("looking at its IOMMU group", device.address):
            return self._vfio.node(self._still_there(device).address)

    def vfio_obstacle(self, device: PlainDevice) -> str | None:
        """Tell in words what keeps a device from being given to a program."""
        with kernel_errors("looking at its IOMMU group", device.address):
            return self._vfio.obstacle(self._still_there(device).address)

    def vfio_user(self, vf: VirtualFunction) -> DeviceUser | None:
        """Tell who has the VF's group open."""
        return self._vfio.user_of(self._now(vf).address)

    def restore_uplink(self, pf: PhysicalFunction, former: Netdev) -> None:
        """Give the PF's interface its former name, MAC, MTU and state back."""
        restore_uplink(self._sysfs, self._still_there(pf).address, former)

    def _still_there(self, device: VirtualFunction | PhysicalFunction | PlainDevice) -> PciDevice:
        match device:
            case VirtualFunction():
                return self._now(device)
            case PhysicalFunction():
                return self._pf_now(device)
            case PlainDevice():
                if not self._sysfs.exists(device.address):
                    raise DeviceGone("looking at the device", device.address, "it has left the host")
                return device

    def _pf_now(self, pf: PhysicalFunction) -> PhysicalFunction:
        now = self.find(pf.address)
        if not isinstance(now, PhysicalFunction):
            raise DeviceGone("looking at the PF", pf.address, "it has left the host")
        return now

    def _now(self, vf: VirtualFunction) -> VirtualFunction:
        device = self.find(vf.address)
        if not isinstance(device, VirtualFunction) or (device.parent, device.index) != (vf.parent, vf.index):
            raise DeviceGone("looking at the VF", vf.address, f"it is no longer VF {vf.index} of PF {vf.parent}")
        return device

    def _pf_side(self, pf: PciAddress) -> links.PfInterface:
        return links.PfInterface(interface_index(self._sysfs, pf))

    def _link(self, address: PciAddress) -> Netdev:
        return read_interface(self._sysfs, address).netdev
