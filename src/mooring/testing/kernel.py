"""A kernel in memory: it remembers what it is told, and refuses what Linux refuses."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from contextlib import AbstractContextManager

from mooring.errors import KernelRefused, NotClean
from mooring.host.failures import kernel_errors
from mooring.host.kernel import VFIO, DeviceUser, HostEvents, Netdev, UserKind, VfCounters, VfSettings
from mooring.host.resizing import resize
from mooring.host.settings import verify_adopted, write_settings
from mooring.host.vf_info import COUNTING_DRIVERS
from mooring.pci.address import PciAddress
from mooring.pci.device import PciDevice, PhysicalFunction, PlainDevice, VirtualFunction
from mooring.testing.calls import counted
from mooring.testing.changes import change
from mooring.testing.host import seen
from mooring.testing.igb import FakeInterface
from mooring.testing.virtual import FakeVirtualLinks


class FakeKernel(FakeVirtualLinks):
    """Kernel and VirtualLinks in one world. ``calls`` counts the calls of both protocols."""

    @counted
    def boot_id(self) -> str:
        """Return the identity of this boot."""
        return f"00000000-0000-4000-8000-{self._boots:012d}"

    @counted
    def physical_functions(self) -> tuple[PhysicalFunction, ...]:
        """Return every card, ordered by address."""
        return tuple(seen(pf) for _, pf in sorted(self._pfs.items()))

    @counted
    def plain_devices(self) -> tuple[PlainDevice, ...]:
        """Return every device that is for programs, ordered by address."""
        return tuple(device for _, device in sorted(self._others.items()))

    @counted
    def find(self, address: PciAddress) -> PciDevice | None:
        """Return the device at an address as it is now."""
        return self._find(address)

    @counted
    def read_settings(self, pf: PhysicalFunction) -> Mapping[int, VfSettings]:
        """Return what the PF holds for each of its VFs."""
        return self._pf_side(pf.address).read()

    @counted
    @change
    def write_settings(self, vf: VirtualFunction, wanted: VfSettings) -> frozenset[str]:
        """Make the PF hold ``wanted`` for the VF."""
        return write_settings(self._pf_side(vf.parent), vf, wanted)

    @counted
    def counters(self, pf: PhysicalFunction) -> Mapping[int, VfCounters]:
        """Return what the PF has counted for each of its VFs, nothing where its driver does not count."""
        card = self._pf_side(pf.address)
        if card.driver not in COUNTING_DRIVERS:
            return {}
        return {index: vf.counters for index, vf in card.vfs.items()}

    @counted
    @change
    def resize(self, pf: PhysicalFunction, vfs: int) -> PhysicalFunction:
        """Make the PF show this many VFs."""
        resize(self._count(pf), pf, vfs)
        return seen(self._pfs[pf.address])

    def events(self) -> AbstractContextManager[HostEvents]:
        """Listen to every change of the host; no counted call, for whoever listens does so in a thread of its own."""
        return self.changes.listen()

    @counted
    @change
    def adopt_mac(self, vf: VirtualFunction, mac: str, *, name: str) -> Netdev:
        """Rebind the VF's driver, which then takes the PF's MAC, and rename the new interface."""
        pf, fake = self._card(vf)
        if fake.driver and fake.interface is None:
            raise NotClean(vf.address, f"its driver {fake.driver} shows no network interface")
        interface = self._bind(pf, fake, pf.vf_driver)
        with kernel_errors(f"renaming interface {interface.name} to {name}", vf.address):
            self._rename(interface, name)
        verify_adopted(vf, interface.seen(), fake.settings, mac)
        return interface.seen()

    @counted
    def netdev(self, device: PhysicalFunction | VirtualFunction) -> Netdev | None:
        """Return the device's interface in the host's namespace, or None."""
        pf = self._pfs.get(device.parent if isinstance(device, VirtualFunction) else device.address)
        if pf is None:
            return None
        if isinstance(device, PhysicalFunction):
            return pf.interface.seen() if pf.interface.namespace is None else None
        fake = pf.vfs.get(device.index)
        interface = fake.interface if fake else None
        return interface.seen() if interface and interface.namespace is None else None

    @counted
    @change
    def set_mtu(self, device: PhysicalFunction | VirtualFunction, mtu: int) -> None:
        """Set the MTU; igb and igbvf take 68 to 9216 bytes."""
        own = self._uplink(device) if isinstance(device, PhysicalFunction) else self._interface(device)
        self._set_mtu(own, mtu, device.address)

    @counted
    @change
    def set_up(self, vf: VirtualFunction, *, up: bool) -> None:
        """Set the interface administratively up or down."""
        self._interface(vf).up = up

    @counted
    def user_of(self, device: VirtualFunction | PhysicalFunction) -> DeviceUser | None:
        """Tell what on this host uses the device."""
        if isinstance(device, PhysicalFunction):
            return self._user_of(self._card_at(device).interface)
        _, fake = self._card(device)
        if fake.interface is None:
            if fake.driver is None:
                return None
            words, marks = f"driver {fake.driver}", frozenset({fake.driver})
            return DeviceUser(kind=UserKind.DRIVER, words=words, marks=marks)
        return self._user_of(fake.interface)

    @counted
    @change
    def bind_vfio(self, vf: VirtualFunction) -> str:
        """Bind the VF to vfio-pci; its interface is gone."""
        _, fake = self._card(vf)
        if not self.iommu:
            raise KernelRefused(f"binding {VFIO}", vf.address, errno.EOPNOTSUPP, "the host has no IOMMU")
        if fake.driver != VFIO:
            self._unbind(fake, VFIO)
        return f"/dev/vfio/{fake.group}"

    @counted
    @change
    def release_vfio(self, vf: VirtualFunction, *, name: str) -> Netdev:
        """Bind the VF's network driver, unless a program has its group open."""
        pf, fake = self._card(vf)
        if fake.group_open:
            raise KernelRefused("opening its IOMMU group", vf.address, errno.EBUSY, "a program has it open")
        interface = self._bind(pf, fake, pf.vf_driver)
        with kernel_errors(f"renaming interface {interface.name} to {name}", vf.address):
            self._rename(interface, name)
        return interface.seen()

    @counted
    def vfio_group(self, device: VirtualFunction | PlainDevice) -> str | None:
        """Return the node of a device's group while it is bound to vfio-pci."""
        if isinstance(device, PlainDevice):
            return f"/dev/vfio/{100 + device.address.bus}" if self._other(device).driver == VFIO else None
        _, fake = self._card(device)
        return f"/dev/vfio/{fake.group}" if fake.driver == VFIO else None

    @counted
    def vfio_obstacle(self, device: PlainDevice) -> str | None:
        """Tell in words what keeps a device from being given to a program."""
        if (driver := self._other(device).driver) != VFIO:
            return f"driver {driver} has it" if driver else "no driver has it"
        if device.address in self._opened:
            return f"a program that has {self.vfio_group(device)} open"
        return None if self.iommu else "the host has no IOMMU for it"

    @counted
    def vfio_user(self, vf: VirtualFunction) -> DeviceUser | None:
        """Tell who has the VF's group open."""
        _, fake = self._card(vf)
        words = f"a program that has /dev/vfio/{fake.group} open"
        return DeviceUser(kind=UserKind.PROGRAM, words=words) if fake.group_open else None

    @counted
    @change
    def restore_uplink(self, pf: PhysicalFunction, former: Netdev) -> None:
        """Give the PF's interface its former name, MAC, MTU and state back."""
        uplink = self._card_at(pf).interface
        if uplink.namespace is not None:
            raise NotClean(pf.address, "its interface is in another network namespace")
        with kernel_errors(f"renaming interface {uplink.name} to {former.name}", pf.address):
            self._rename(uplink, former.name)
        uplink.mac, uplink.mtu, uplink.up = former.mac, former.mtu, former.up
        uplink.addresses, uplink.promiscuous = (), False

    def _user_of(self, interface: FakeInterface) -> DeviceUser | None:
        above = self._links.above(interface)
        uppers = interface.uppers + tuple(link.name for link in above if link.namespace is None)
        marks: frozenset[str] = frozenset()
        if interface.namespace is not None:
            kind, words = UserKind.NAMESPACE, "another network namespace"
        elif uppers:
            kind, words = UserKind.UPPER_INTERFACE, f"{', '.join(uppers)} on top of its interface {interface.name}"
        elif above or interface.promiscuous:
            kind, words = UserKind.LISTENER, f"whatever made its interface {interface.name} listen to all frames"
        elif interface.addresses:
            kind, words = UserKind.HOST, f"the host, with {', '.join(interface.addresses)} on {interface.name}"
            marks = frozenset(address.partition("/")[0] for address in interface.addresses)
        elif interface.routes:
            kind, words = UserKind.HOST, f"the host, with {', '.join(interface.routes)} over {interface.name}"
            marks = frozenset(interface.routes)
        else:
            return None
        return DeviceUser(kind=kind, words=words, marks=marks)
