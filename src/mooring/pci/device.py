"""PCI devices as mooring sees them: physical functions and their virtual functions, and devices that are no cards'."""

from __future__ import annotations

from dataclasses import dataclass

from mooring.pci.address import PciAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class PciDevice:
    """What identifies and describes a PCI function, whatever it does.

    ``vendor_id`` and ``product_id`` are four lower-case hexadecimal digits. ``numa_node`` is None where the
    firmware does not tell (-1 in sysfs).
    """

    address: PciAddress
    vendor_id: str
    product_id: str
    numa_node: int | None

    @property
    def vendor_info(self) -> str:
        """Vendor and product as Nova and Neutron write them in ``pci_vendor_info``: ``8086:10ca``."""
        return f"{self.vendor_id}:{self.product_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainDevice(PciDevice):
    """A device for programs, of no network card with SR-IOV: a GPU, an NVMe disk, or a VF of an accelerator.

    ``parent`` is the PF of such a VF.
    """

    driver: str | None
    parent: PciAddress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PhysicalFunction(PciDevice):
    """A network card that shows VFs.

    ``netdev`` is None while the interface is in another network namespace or has no driver; nothing can then be
    configured on its VFs.
    """

    netdev: str | None
    driver: str | None
    total_vfs: int
    vfs: tuple[VirtualFunction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualFunction(PciDevice):
    """One VF of this host.

    The address identifies it: an interface name may change with any move between namespaces, and a VF bound to
    vfio-pci has none. ``index`` is the number the PF's driver knows it by. ``netdev`` is the interface in the
    daemon's own network namespace, or None; ``elsewhere`` tells that it exists in another one (sysfs shows an
    empty ``net`` directory then, and none at all without a network driver).
    """

    parent: PciAddress
    index: int
    driver: str | None
    netdev: str | None
    elsewhere: bool
