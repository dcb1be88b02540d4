"""The devices of a host: what its node reports, and whose they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from mooring.db.api import Device
from mooring.db.rows import REPORTED, AnyRow, device_values, read_device
from mooring.db.tables import containers, devices, hosts
from mooring.errors import HostNotFound
from mooring.pci.requests import DeviceKind
from mooring.rpc.messages import DeviceReport, DeviceState

_NAMES: Final = tuple(column.name for column in REPORTED)
_ADDRESS, _NETWORK = _NAMES.index("address"), _NAMES.index("physical_network")
_KNOWN: Final = select(*REPORTED, devices.c.id, devices.c.container).where(devices.c.host == bindparam("of_host"))
_CHANGE: Final = (
    update(devices).where(devices.c.id == bindparam("row")).values({name: bindparam(name) for name in _NAMES})
)


def write_devices(db: Connection, host_row: int, reports: Sequence[DeviceReport]) -> None:
    """Bring the devices of a host, whose row is locked, to what its node reports. Writes only what differs.

    What a container has stays: as LOST when it is not reported any more, and with the network that it was claimed for.
    """
    known = {row[_ADDRESS]: tuple(row) for row in db.execute(_KNOWN, {"of_host": host_row})}
    changed, new = [], []
    for values in map(device_values, reports):
        former = known.pop(str(values[_ADDRESS]), None)
        if former is None:
            new.append({"host": host_row, **_named(values)})
            continue
        *before, row, owner = former
        if owner is not None:
            values = (*values[:_NETWORK], before[_NETWORK], *values[_NETWORK + 1 :])  # noqa: PLW2901
        if values != tuple(before):
            changed.append({"row": row, **_named(values)})
    _write(db, changed, new)
    _drop(db, known.values())


def _named(values: Sequence[object]) -> dict[str, object]:
    return dict(zip(_NAMES, values, strict=True))


def _write(db: Connection, changed: list[dict[str, object]], new: list[dict[str, object]]) -> None:
    if changed:
        db.execute(_CHANGE, changed)
    if new:
        db.execute(insert(devices), new)


def _drop(db: Connection, missing: Iterable[tuple[Any, ...]]) -> None:
    owned = [row for *_, row, owner in missing if owner is not None]
    gone = [row for *_, row, owner in missing if owner is None]
    if owned:
        db.execute(update(devices).where(devices.c.id.in_(owned)).values(state=DeviceState.LOST.value))
    if gone:
        db.execute(delete(devices).where(devices.c.id.in_(gone), devices.c.container.is_(None)))


def list_devices(db: Connection, host: str) -> tuple[Device, ...]:
    """See Hosts."""
    host_row = db.execute(select(hosts.c.id).where(hosts.c.name == host)).scalar_one_or_none()
    if host_row is None:
        raise HostNotFound(host)
    owner = containers.alias("owner")
    query = (
        select(devices, owner.c.uuid.label("owner"))
        .join(owner, owner.c.id == devices.c.container, isouter=True)
        .where(devices.c.host == host_row)
    )
    rows = db.execute(query).all()
    blocked = _blocked(rows)
    found = (read_device(row, host=host, container=row.owner, is_blocked=row.address in blocked) for row in rows)
    return tuple(sorted(found, key=_place))


def _blocked(rows: Sequence[AnyRow]) -> set[str]:
    """Return the addresses of PFs of which a VF is in use, and of VFs of a PF that is."""
    used = [row for row in rows if row.container is not None or row.state == DeviceState.HELD.value]
    pfs, parents = {row.address for row in used}, {row.parent for row in used if row.parent is not None}
    return {row.address for row in rows if row.address in parents or row.parent in pfs}


def _place(device: Device) -> tuple[object, ...]:
    report = device.report
    return report.parent or report.address, report.kind is DeviceKind.VF, report.address
