"""What a container wants of a host's devices: pure values, matched by the database and judged by the scheduler."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DeviceKind(StrEnum):
    """What a PCI function is, in Nova's words (``dev_type``)."""

    VF = "type-VF"
    PF = "type-PF"
    PCI = "type-PCI"


class NumaPolicy(StrEnum):
    """How much a request minds the NUMA node of its device, in Nova's words."""

    REQUIRED = "required"
    PREFERRED = "preferred"
    LEGACY = "legacy"
    SOCKET = "socket"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductSpec:
    """Vendor and product of a device, four lower-case hexadecimal digits each; None is any."""

    vendor_id: str | None = None
    product_id: str | None = None

    def __str__(self) -> str:
        return f"{self.vendor_id or '*'}:{self.product_id or '*'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRequest:
    """One device that is wanted. ``id`` is the interface's or alias claim's that it is for.

    No ``kind``, which only an alias asks, is a VF or a device without SR-IOV: a whole card nobody gets who did not ask
    for it, as in Nova.

    ``physical_network`` is compared exactly; None, which only an alias asks, is for devices that serve no port, or
    whatever port they serve. Any of ``products`` will do; none is any product. ``for_program`` asks for a device that
    is kept bound to ``vfio-pci``, and False for one that is not.
    """

    id: str
    kind: DeviceKind | None
    physical_network: str | None = None
    trusted: bool = False
    for_program: bool = False
    products: tuple[ProductSpec, ...] = ()
    numa_policy: NumaPolicy = NumaPolicy.LEGACY

    def admits(self, kind: DeviceKind) -> bool:
        """Tell whether a device of a kind will do."""
        return kind is self.kind or (self.kind is None and kind is not DeviceKind.PF)

    @property
    def label(self) -> str:
        """Name what is wanted for a message: ``VFs free on physnet1``."""
        what = {DeviceKind.VF: "VFs", DeviceKind.PF: "PFs", DeviceKind.PCI: "devices", None: "devices"}[self.kind]
        which = "".join(f" {product}," for product in self.products).rstrip(",")
        how = "trusted " if self.trusted else ""
        where = f" on {self.physical_network}" if self.physical_network is not None else ""
        purpose = " for vfio-pci" if self.for_program else ""
        return f"{how}{what}{which} free{where}{purpose}"
