"""Devices that are alike, counted: what "how many are free" is answered with, for hosts and for administrators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, Self

from sqlalchemy import String, case, cast, func, literal_column, select

from mooring.container.model import ClaimedDevice
from mooring.db.owners import IS_OPEN, in_use
from mooring.db.rows import AnyRow
from mooring.db.tables import devices
from mooring.pci.address import PciAddress
from mooring.pci.requests import DeviceKind, DeviceRequest, ProductSpec

_CARD: Final = case((devices.c.kind == DeviceKind.VF.value, devices.c.parent), else_=devices.c.address).label("card")

ALIKE: Final = (
    devices.c.host,
    _CARD,
    devices.c.kind,
    devices.c.vendor_id,
    devices.c.product_id,
    devices.c.physical_network,
    devices.c.numa_node,
    devices.c.trusted,
    devices.c.vf_driver,
)
"""The columns of a Likeness."""


class Likeness(NamedTuple):
    """What devices of a group have in common. Those with one ``card``, the address of a PF, may block each other."""

    host: int
    card: str
    kind: DeviceKind
    vendor_id: str
    product_id: str
    physical_network: str | None
    numa_node: int | None
    trusted: bool
    vf_driver: str | None

    @classmethod
    def read(cls, row: AnyRow) -> Self:
        """Return what the device or the group of a row is like."""
        return cls(
            host=row.host,
            card=row.card,
            kind=DeviceKind(row.kind),
            vendor_id=row.vendor_id,
            product_id=row.product_id,
            physical_network=row.physical_network,
            numa_node=row.numa_node,
            trusted=row.trusted,
            vf_driver=row.vf_driver,
        )

    @property
    def serves_ports(self) -> bool:
        """Tell whether these are VFs that can make ports present."""
        return self.kind is DeviceKind.VF and self.physical_network is not None and self.vf_driver is None

    def fits(self, request: DeviceRequest) -> bool:
        """Tell whether the devices are what a request asks for: ``owners.fits``, in Python."""
        return (
            request.admits(self.kind)
            and request.physical_network in (None, self.physical_network)
            and (self.trusted or not request.trusted)
            and request.for_program is (self.vf_driver is not None)
            and (not request.products or any(map(self._is, request.products)))
        )

    def _is(self, product: ProductSpec) -> bool:
        return product.vendor_id in (None, self.vendor_id) and product.product_id in (None, self.product_id)


@dataclass(frozen=True, slots=True)
class Group:
    """Devices that are alike: how many there are, those that are free (see read_free), and how many somebody uses."""

    likeness: Likeness
    total: int
    free: tuple[str, ...]
    used: int


# All that devices of a group do not have in common, so that they need not be looked up.
_OWN: Final = cast(devices.c.id, String) + " " + devices.c.address + " " + func.coalesce(devices.c.mac, "")

# Written out: text would be put into the statement again each time that it is used.
_COMMA: Final[Any] = literal_column("','")

COUNTED: Final = select(
    *ALIKE,
    func.count().label("total"),
    func.aggregate_strings(case((IS_OPEN, _OWN)), _COMMA).label("free"),
    func.sum(case((in_use(devices), 1), else_=0)).label("used"),
).group_by(*ALIKE)
"""The query for groups; one with conditions must find all devices of a card, for they may block each other."""


def read_groups(rows: Iterable[AnyRow]) -> tuple[Group, ...]:
    """Return the groups of rows that COUNTED has found."""
    return tuple(_without_blocked([_read(row) for row in rows]))


def _read(row: AnyRow) -> Group:
    free = tuple(row.free.split(",")) if row.free else ()
    # MariaDB's sums are decimal numbers.
    return Group(Likeness.read(row), row.total, free, int(row.used))


def read_free(group: Group, text: str) -> ClaimedDevice:
    """Return one of the free devices of a group."""
    row, address, mac = text.split(" ")
    likeness = group.likeness
    return ClaimedDevice(
        row=int(row),
        address=PciAddress.parse(address),
        parent=PciAddress.parse(likeness.card) if likeness.kind is DeviceKind.VF else None,
        vendor_info=f"{likeness.vendor_id}:{likeness.product_id}",
        physical_network=likeness.physical_network,
        numa_node=likeness.numa_node,
        vf_driver=likeness.vf_driver,
        mac=mac or None,
    )


def _without_blocked(groups: Sequence[Group]) -> Iterator[Group]:
    """Yield groups; what the PF or the VFs of its card block is not free."""
    used: dict[DeviceKind, set[tuple[int, str]]] = {kind: set() for kind in DeviceKind}
    for group in groups:
        if group.used:
            used[group.likeness.kind].add(_card(group))
    blocking = {DeviceKind.VF: used[DeviceKind.PF], DeviceKind.PF: used[DeviceKind.VF], DeviceKind.PCI: frozenset()}
    for group in groups:
        yield replace(group, free=()) if _card(group) in blocking[group.likeness.kind] else group


def _card(group: Group) -> tuple[int, str]:
    return group.likeness.host, group.likeness.card
