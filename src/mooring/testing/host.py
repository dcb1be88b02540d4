"""A host in memory: cards plugged in, and the hands that move, break and restart things around mooring."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Iterator

from mooring.errors import DeviceGone, KernelRefused
from mooring.host.failures import NetlinkError, kernel_errors
from mooring.host.kernel import VfSettings
from mooring.pci.address import PciAddress
from mooring.pci.device import PciDevice, PhysicalFunction, VirtualFunction
from mooring.testing.igb import NO_MAC, FakeInterface, FakePf, FakeVf

_IGB_CANNOT = frozenset({"link_state", "min_tx_rate"})


class FakeHost:
    """Intel 82576 cards, other devices, and the namespaces of containers."""

    def __init__(self) -> None:
        self._boots = 1
        self._pfs: dict[PciAddress, FakePf] = {}
        self._others: dict[PciAddress, PciDevice] = {}
        self._indexes = itertools.count(2)
        self._macs = itertools.count(1)

    def add_pf(
        self,
        address: str,
        netdev: str,
        *,
        vfs: int = 7,
        numa_node: int | None = None,
        mtu: int = 1500,
        unsupported: frozenset[str] = _IGB_CANNOT,
    ) -> PhysicalFunction:
        """Plug in a card; every VF is bound to its network driver."""
        interface = FakeInterface(name=netdev, index=next(self._indexes), mac=self._fresh_mac(), mtu=mtu, up=True)
        pf = FakePf(
            address=PciAddress.parse(address),
            vendor_id="8086",
            product_id="10c9",
            vf_product_id="10ca",
            numa_node=numa_node,
            driver="igb",
            vf_driver="igbvf",
            interface=interface,
            unsupported=unsupported,
        )
        self._pfs[pf.address] = pf
        self._create_vfs(pf, vfs)
        return seen(pf)

    def add_device(self, address: str, *, vendor_id: str = "1af4", product_id: str = "1000") -> PciDevice:
        """Plug in a device without SR-IOV."""
        device = PciDevice(
            address=PciAddress.parse(address), vendor_id=vendor_id, product_id=product_id, numa_node=None
        )
        self._others[device.address] = device
        return device

    def vf(self, address: PciAddress) -> VirtualFunction:
        """Return a VF as it is now, without counting as a call."""
        device = self._find(address)
        assert isinstance(device, VirtualFunction), f"{address} is {device}"  # noqa: S101 - for tests
        return device

    def move_to_container(self, vf: VirtualFunction, name: str, *, container: str = "box") -> None:
        """Move the interface into a container's namespace, as dockerd does: the MAC and the MTU stay."""
        interface = self._interface(vf)
        if name in self._names(container):
            raise KernelRefused(f"moving it to {container} as {name}", vf.address, errno.EEXIST)
        interface.namespace, interface.name, interface.up, interface.addresses = container, name, True, ()

    def move_to_host(self, vf: VirtualFunction, name: str) -> None:
        """Move the interface back under this name, as dockerd does when it ends a container in good order."""
        _, fake = self._card(vf)
        interface = _existing(fake)
        with kernel_errors(f"moving it to the host as {name}", vf.address):
            self._rename(interface, name)
        interface.namespace, interface.up, interface.addresses = None, False, ()

    def container_dies(self, vf: VirtualFunction) -> None:
        """End the container around the VF: its interface comes back with the tenant's name, MAC and MTU."""
        interface = _existing(self._card(vf)[1])
        if interface.name in self._names(None):
            interface.name = f"dev{interface.index}"
        interface.namespace, interface.up, interface.addresses = None, False, ()

    def set_mac(self, vf: VirtualFunction, mac: str) -> None:
        """Set the interface's own MAC, as root in its namespace can."""
        with kernel_errors(f"setting MAC {mac}", vf.address):
            self._card(vf)[1].set_mac(mac)

    def add_address(self, vf: VirtualFunction, address: str) -> None:
        """Give the interface an IP address."""
        self._interface(vf).addresses += (address,)

    def add_upper(self, vf: VirtualFunction, name: str) -> None:
        """Put a bond, a bridge or a macvtap on the interface."""
        self._interface(vf).uppers += (name,)

    def add_interface_name(self, vf: VirtualFunction, name: str) -> None:
        """Rename the interface by hand."""
        with kernel_errors(f"renaming it to {name}", vf.address):
            self._rename(self._interface(vf), name)

    def bind_driver(self, vf: VirtualFunction, driver: str | None) -> None:
        """Bind the VF to another driver, or to none."""
        pf, fake = self._card(vf)
        self._bind(pf, fake, pf.vf_driver) if driver == pf.vf_driver else self._unbind(fake, driver)

    def set_pf_up(self, pf: PhysicalFunction, *, up: bool) -> None:
        """Set the PF's interface up with carrier, or down."""
        self._pfs[pf.address].interface.up = up

    def move_pf_away(self, pf: PhysicalFunction) -> None:
        """Move the PF's interface into another network namespace."""
        self._pfs[pf.address].interface.namespace = "elsewhere"

    def unplug(self, device: PciDevice) -> None:
        """Take a PF with its VFs, a VF, or another device off the host."""
        if isinstance(device, VirtualFunction):
            del self._pfs[device.parent].vfs[device.index]
        elif self._pfs.pop(device.address, None) is None:
            del self._others[device.address]

    def reboot(self) -> None:
        """Start the host again: the VFs are made anew, with the drivers' defaults."""
        self._boots += 1
        for pf in self._pfs.values():
            self._create_vfs(pf, len(pf.vfs))

    def state(self) -> object:
        """Return a value equal to another when both hosts are in the same state (interface numbers aside)."""
        return tuple(
            (vf.address, vf.driver, vf.settings, _place(vf.interface))
            for pf in self._pfs.values()
            for _, vf in sorted(pf.vfs.items())
        )

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

    def _create_vfs(self, pf: FakePf, count: int) -> None:
        unset = VfSettings(
            mac=NO_MAC,
            spoof_check=None if "spoof_check" in pf.unsupported else True,
            trust=None if "trust" in pf.unsupported else False,
        )
        pf.vfs.clear()
        for index in range(count):
            pf.vfs[index] = FakeVf(address=pf.vf_address(index), driver=None, settings=unset)
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

    @staticmethod
    def _unbind(vf: FakeVf, driver: str | None) -> None:
        vf.driver, vf.interface = driver, None

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

    def _fresh_mac(self) -> str:
        return (0x02_FA_CE << 24 | next(self._macs)).to_bytes(6, "big").hex(":")


def seen(pf: FakePf) -> PhysicalFunction:
    """Return the card as sysfs shows it."""
    return PhysicalFunction(
        address=pf.address,
        vendor_id=pf.vendor_id,
        product_id=pf.product_id,
        numa_node=pf.numa_node,
        netdev=pf.interface.name if pf.interface.namespace is None else None,
        driver=pf.driver,
        total_vfs=7,
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


def _existing(vf: FakeVf) -> FakeInterface:
    if vf.interface is None:
        raise DeviceGone("moving its interface", vf.address, f"driver {vf.driver} gives it none")
    return vf.interface


def _place(interface: FakeInterface | None) -> object:
    return interface and (interface.namespace, interface.name, interface.mac, interface.mtu, interface.up)
