"""A host in memory: the cards that are plugged in, their VFs, and the interfaces of both."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from mooring.errors import DeviceGone
from mooring.host.failures import NetlinkError
from mooring.host.kernel import VfSettings
from mooring.pci.address import PciAddress
from mooring.pci.device import PciDevice, PhysicalFunction, PlainDevice, VirtualFunction
from mooring.testing.changes import Changes, change
from mooring.testing.igb import MAX_VFS, NO_MAC, FakeInterface, FakePf, FakeVf
from mooring.testing.links import FakeLinks

_IGB_CANNOT = frozenset({"link_state", "min_tx_rate"})


class FakeHost:
    """Intel 82576 cards, other devices, and the namespaces of containers."""

    def __init__(self) -> None:
        self._boots = 1
        self._pfs: dict[PciAddress, FakePf] = {}
        self._others: dict[PciAddress, PlainDevice] = {}
        self._opened: set[PciAddress] = set()
        self._indexes = itertools.count(2)
        self._macs = itertools.count(1)
        self._groups = itertools.count(11)
        self._links = FakeLinks()
        self._as_booted: dict[PciAddress, FakeInterface] = {}
        self.iommu = True
        self.changes = Changes()

    @change
    def add_pf(
        self,
        address: str,
        netdev: str,
        *,
        vfs: int = 7,
        numa_node: int | None = None,
        mtu: int = 1500,
        driver: str = "igb",
        unsupported: frozenset[str] = _IGB_CANNOT,
    ) -> PhysicalFunction:
        """Plug in a card; every VF is bound to its network driver. ``driver`` may be one that counts, as ice does."""
        interface = FakeInterface(name=netdev, index=next(self._indexes), mac=self._fresh_mac(), mtu=mtu, up=True)
        pf = FakePf(
            address=PciAddress.parse(address),
            vendor_id="8086",
            product_id="10c9",
            vf_product_id="10ca",
            numa_node=numa_node,
            driver=driver,
            vf_driver="igbvf",
            interface=interface,
            unsupported=unsupported,
            total_vfs=max(vfs, MAX_VFS),
        )
        self._pfs[pf.address] = pf
        self._as_booted[pf.address] = replace(interface)
        self.make_vfs(pf, vfs)
        return seen(pf)

    @change
    def add_device(
        self,
        address: str,
        *,
        vendor_id: str = "1af4",
        product_id: str = "1000",
        driver: str | None = None,
        numa_node: int | None = None,
        parent: str | None = None,
    ) -> PlainDevice:
        """Plug in a device that is no network card's; ``parent`` is the PF of a VF."""
        device = PlainDevice(
            address=PciAddress.parse(address),
            vendor_id=vendor_id,
            product_id=product_id,
            numa_node=numa_node,
            driver=driver,
            parent=None if parent is None else PciAddress.parse(parent),
        )
        self._others[device.address] = device
        return device

    def vf(self, address: PciAddress) -> VirtualFunction:
        """Return a VF as it is now, without counting as a call."""
        device = self._find(address)
        assert isinstance(device, VirtualFunction), f"{address} is {device}"  # noqa: S101 - for tests
        return device

    def state(self) -> object:
        """Return a value equal to another when both hosts are in the same state (interface numbers aside)."""
        vfs = [
            (vf.address, vf.driver, vf.settings, _place(vf.interface))
            for pf in self._pfs.values()
            for _, vf in sorted(pf.vfs.items())
        ]
        uplinks = [(address, _place(pf.interface)) for address, pf in self._pfs.items()]
        links = sorted(
            (link.namespace or "", link.name, link.kind, link.mtu, link.up, link.master or "") for link in self._links
        )
        return vfs, uplinks, links

    def _other(self, device: PlainDevice) -> PlainDevice:
        if device.address not in self._others:
            raise DeviceGone("looking at the device", device.address, "it has left the host")
        return self._others[device.address]

    def _find(self, address: PciAddress) -> PciDevice | None:
        if address in self._others:
            return self._others[address]
        for pf in map(seen, self._pfs.values()):
            for device in (pf, *pf.vfs):
                if device.address == address:
                    return device
        return None

    def _card(self, vf: VirtualFunction) -> tuple[FakePf, FakeVf]:
        pf = self._pfs.get(vf.parent)
        if pf is None or vf.index not in pf.vfs:
            raise DeviceGone("looking at the VF", vf.address, f"it is no longer VF {vf.index} of PF {vf.parent}")
        return pf, pf.vfs[vf.index]

    def _pf_side(self, address: PciAddress) -> FakePf:
        pf = self._pfs.get(address)
        if pf is None or pf.interface.namespace is not None:
            raise DeviceGone("configuring VFs", address, "the PF's interface is not in the host's network namespace")
        return pf

    def _interface(self, vf: VirtualFunction) -> FakeInterface:
        interface = self._card(vf)[1].interface
        if interface is None or interface.namespace is not None:
            raise DeviceGone("reading its interface", vf.address, "it has none in the host's network namespace")
        return interface

    def _count(self, pf: PhysicalFunction) -> _VfCount:
        if (card := self._pfs.get(pf.address)) is None:
            raise DeviceGone("changing the number of its VFs", pf.address, "it has left the host")
        return _VfCount(self, card)

    def make_vfs(self, pf: FakePf, count: int) -> None:
        """Make the card's VFs anew, with the drivers' defaults."""
        unset = VfSettings(
            mac=NO_MAC,
            spoof_check=None if "spoof_check" in pf.unsupported else True,
            trust=None if "trust" in pf.unsupported else False,
        )
        for vf in pf.vfs.values():
            self._unbind(vf, None)
        pf.vfs.clear()
        for index in range(count):
            pf.vfs[index] = FakeVf(address=pf.vf_address(index), driver=None, settings=unset, group=next(self._groups))
            self._bind(pf, pf.vfs[index], pf.vf_driver)

    def _bind(self, pf: FakePf, vf: FakeVf, driver: str) -> FakeInterface:
        """Probe the VF: its driver learns the MAC that was set on the PF, or announces one of its own.

        A PF that is down answers no VF.
        """
        self._unbind(vf, driver)
        name = next(name for n in itertools.count() if (name := f"eth{n}") not in self._names(None))
        vf.interface = FakeInterface(name=name, index=next(self._indexes), mac=self._fresh_mac())
        if not pf.interface.up:
            return vf.interface
        if vf.mac_was_set:
            vf.interface.mac = vf.settings.mac
        else:
            vf.set_mac(vf.interface.mac)
        return vf.interface

    def _unbind(self, vf: FakeVf, driver: str | None) -> None:
        """Give the VF to another driver; its interface goes, and whatever stands on it."""
        for macvtap in self._links.above(vf.interface):
            self._links.delete(macvtap)
        vf.driver, vf.interface, vf.group_open = driver, None, False

    def _falls_home(self, interface: FakeInterface) -> None:
        """End the namespace around a physical interface: it keeps its name where that is free."""
        if interface.name in self._names(None):
            interface.name = f"dev{interface.index}"
        interface.namespace, interface.up, interface.addresses = None, False, ()

    def _rename(self, interface: FakeInterface, name: str) -> None:
        if name in self._names(None) and not (interface.namespace is None and interface.name == name):
            raise NetlinkError(errno.EEXIST)
        interface.name = name

    def _names(self, namespace: str | None) -> set[str]:
        return {interface.name for interface in self._interfaces() if interface.namespace == namespace}

    def _interfaces(self) -> Iterator[FakeInterface]:
        for pf in self._pfs.values():
            yield pf.interface
            yield from (vf.interface for vf in pf.vfs.values() if vf.interface)
        yield from self._links

    def _fresh_mac(self) -> str:
        return (0x02_FA_CE << 24 | next(self._macs)).to_bytes(6, "big").hex(":")


@dataclass(frozen=True, slots=True)
class _VfCount:
    """A mooring.host.resizing.VfCount, as Linux keeps it in sriov_numvfs."""

    host: FakeHost
    pf: FakePf

    def read(self) -> int:
        return len(self.pf.vfs)

    def write(self, vfs: int) -> None:
        if not 0 <= vfs <= self.pf.total_vfs:
            raise NetlinkError(errno.ERANGE)
        if vfs == len(self.pf.vfs):
            return
        if vfs and self.pf.vfs:
            raise NetlinkError(errno.EBUSY)
        if any(vf.group_open for vf in self.pf.vfs.values()):  # Linux would wait for the program
            raise NetlinkError(errno.ETIMEDOUT)
        self.host.make_vfs(self.pf, vfs)


def seen(pf: FakePf) -> PhysicalFunction:
    """Return the card as sysfs shows it."""
    return PhysicalFunction(
        address=pf.address,
        vendor_id=pf.vendor_id,
        product_id=pf.product_id,
        numa_node=pf.numa_node,
        netdev=pf.interface.name if pf.interface.namespace is None else None,
        driver=pf.driver,
        total_vfs=pf.total_vfs,
        vfs=tuple(_seen_vf(pf, index, vf) for index, vf in sorted(pf.vfs.items())),
    )


def _seen_vf(pf: FakePf, index: int, vf: FakeVf) -> VirtualFunction:
    here = vf.interface is not None and vf.interface.namespace is None
    return VirtualFunction(
        address=vf.address,
        vendor_id=pf.vendor_id,
        product_id=pf.vf_product_id,
        numa_node=pf.numa_node,
        parent=pf.address,
        index=index,
        driver=vf.driver,
        netdev=vf.interface.name if vf.interface and here else None,
        elsewhere=vf.interface is not None and not here,
    )


def _place(interface: FakeInterface | None) -> object:
    if interface is None:
        return None
    return (
        *(interface.namespace, interface.name, interface.mac, interface.mtu, interface.up),
        *(interface.addresses, interface.promiscuous),
    )
