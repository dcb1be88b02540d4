"""Pools of devices, for administrators: counted when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, select

from mooring.db.api import Pool
from mooring.db.groups import COUNTED, Group, read_groups
from mooring.db.tables import devices, hosts
from mooring.errors import HostNotFound
from mooring.pci.address import PciAddress
from mooring.pci.requests import DeviceKind


def pools(db: Connection, host: str | None = None) -> tuple[Pool, ...]:
    """See Hosts."""
    names = {row.id: row.name for row in db.execute(select(hosts.c.id, hosts.c.name))}
    rows = [row for row, name in names.items() if host in (None, name)]
    if host is not None and not rows:
        raise HostNotFound(host)
    found: dict[Pool, list[Group]] = {}
    query = COUNTED if host is None else COUNTED.where(devices.c.host.in_(rows))
    for group in read_groups(db.execute(query)):
        likeness = group.likeness
        pool = Pool(
            host=names[likeness.host],
            vendor_id=likeness.vendor_id,
            product_id=likeness.product_id,
            kind=likeness.kind,
            physical_network=likeness.physical_network,
            numa_node=likeness.numa_node,
            parent=PciAddress.parse(likeness.card) if likeness.kind is DeviceKind.VF else None,
            total=0,
            free=0,
        )
        found.setdefault(pool, []).append(group)
    return tuple(_counted(pool, found[pool]) for pool in sorted(found, key=_place))


def _counted(pool: Pool, groups: Sequence[Group]) -> Pool:
    return replace(pool, total=sum(group.total for group in groups), free=sum(len(group.free) for group in groups))


def _place(pool: Pool) -> tuple[str, ...]:
    return pool.host, str(pool.parent or ""), pool.kind, pool.vendor_id, pool.product_id, str(pool.physical_network)
