"""Whose devices are, and which may be claimed.

A PF and its VFs exclude each other. That is never written down: it is asked of the rows each time. The question and the
claim are one statement, and all who claim devices of a host take turns on the host's row (see ``claims``), so that no
two can be answered before either has written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    Update,
    and_,
    bindparam,
    exists,
    false,
    literal_column,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.sql.selectable import FromClause

from mooring.container.model import ClaimedDevice, Container
from mooring.db.columns import Name
from mooring.db.tables import devices
from mooring.pci.requests import DeviceKind, DeviceRequest, ProductSpec
from mooring.rpc.messages import DeviceState

# Written out, not as parameters: only so can a plan for all parameters use the partial index.
_FREE: Final = literal_column(f"'{DeviceState.FREE}'", String())
_HELD: Final = literal_column(f"'{DeviceState.HELD}'", String())

IS_OPEN: Final = and_(devices.c.container.is_(None), devices.c.state == _FREE)
"""Nobody has the device itself."""


def in_use(device: FromClause) -> ColumnElement[bool]:
    """Somebody has the device: a container of the service, or who uses the host without it."""
    return or_(device.c.container.is_not(None), device.c.state == _HELD)


def is_unblocked(kind: DeviceKind) -> ColumnElement[bool]:
    """Nobody has a VF of the PF, or the PF of the VF."""
    relative = devices.alias("relative")
    match kind:
        case DeviceKind.VF:
            is_relative = relative.c.address == devices.c.parent
        case DeviceKind.PF:
            is_relative = relative.c.parent == devices.c.address
        case DeviceKind.PCI:
            is_relative = false()
    return ~exists().where(relative.c.host == devices.c.host, is_relative, in_use(relative)).correlate(devices)


def fits(request: DeviceRequest) -> ColumnElement[bool]:
    """The device is what a request asks for."""
    is_kind = devices.c.kind != DeviceKind.PF.value if request.kind is None else devices.c.kind == request.kind.value
    conditions: list[ColumnElement[bool]] = [is_kind]
    if request.physical_network is not None:
        conditions.append(devices.c.physical_network == request.physical_network)
    if request.trusted:
        conditions.append(devices.c.trusted)
    conditions.append(devices.c.vf_driver.is_not(None) if request.for_program else devices.c.vf_driver.is_(None))
    if request.products:
        conditions.append(or_(*map(_is, request.products)))
    return and_(*conditions)


def _is(product: ProductSpec) -> ColumnElement[bool]:
    vendor = true() if product.vendor_id is None else devices.c.vendor_id == product.vendor_id
    return and_(vendor, true() if product.product_id is None else devices.c.product_id == product.product_id)


def take(db: Connection, container: Container, request: str, device: ClaimedDevice, *, host_row: int) -> bool:
    """Make a device a container's; tell whether that could be done. The host's row must be locked."""
    statement = _TAKE_VF if device.parent else _TAKE_WHOLE
    values = {
        "device": device.row,
        "on_host": host_row,
        "network": device.physical_network,
        "new_owner": container.row,
        "for_request": request,
    }
    return db.execute(statement, values).rowcount == 1


def _take(*conditions: ColumnElement[bool]) -> Update:
    return (
        update(devices)
        .where(
            devices.c.id == bindparam("device"),
            devices.c.host == bindparam("on_host"),
            # Its node may have said otherwise since the device was offered.
            devices.c.physical_network.is_not_distinct_from(bindparam("network", type_=Name)),
            IS_OPEN,
            *conditions,
        )
        .values(container=bindparam("new_owner"), request=bindparam("for_request"))
    )


# What has no PF is one, or has no relatives.
_TAKE_VF: Final = _take(is_unblocked(DeviceKind.VF))
_TAKE_WHOLE: Final = _take(is_unblocked(DeviceKind.PF))


def devices_of(db: Connection, container: Container) -> set[int]:
    """Return the numbers of the devices that a container has."""
    return set(db.execute(select(devices.c.id).where(devices.c.container == container.row)).scalars())


def free(db: Connection, rows: Iterable[int]) -> None:
    """Let devices be claimed again."""
    if given_back := sorted(rows):
        db.execute(update(devices).where(devices.c.id.in_(given_back)).values(container=None, request=None))


def without_others(container: Container, held: set[int]) -> Container:
    """Return a container without the devices that it names and does not have."""

    def honest(device: ClaimedDevice | None) -> ClaimedDevice | None:
        return device if device is not None and device.row in held else None

    return replace(
        container,
        interfaces=tuple(replace(each, device=honest(each.device)) for each in container.interfaces),
        aliases=tuple(replace(each, device=honest(each.device)) for each in container.aliases),
    )
