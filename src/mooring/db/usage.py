"""What containers were promised, summed up when it is asked for: nothing is kept that could disagree."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import CTE, Connection, Double, Select, bindparam, exists, func, or_, select

from mooring.container.model import Container
from mooring.db.api import ROUNDING, Capacity, Resource
from mooring.db.rows import AnyRow
from mooring.db.tables import containers

# MariaDB has no number that is infinite.
_UNLIMITED: Final = sys.float_info.max

_SUMS: Final = (
    func.count().label("containers"),
    func.coalesce(func.sum(containers.c.cpu), 0.0).label("cpu"),
    func.coalesce(func.sum(containers.c.memory_mib), 0).label("memory_mib"),
    func.coalesce(func.sum(containers.c.disk_gib), 0).label("disk_gib"),
)


def with_usage(found: CTE) -> Select[*tuple[Any, ...]]:
    """Return a query for hosts with what their containers were promised besides: NULL where there are none."""
    used = (
        select(containers.c.host, *_SUMS)
        .join_from(found, containers, containers.c.host == found.c.name)
        .group_by(containers.c.host)
        .subquery("used")
    )
    sums = (used.c[name] for name in ("cpu", "memory_mib", "disk_gib", "containers"))
    return select(found, *sums).join(used, used.c.host == found.c.name, isouter=True)


_OTHERS: Final = (
    select(*_SUMS)
    .where(containers.c.host == bindparam("on_host"), containers.c.id != bindparam("seen_row"))
    .subquery("others")
)

IS_FULL: Final = exists().where(
    or_(
        _OTHERS.c.cpu > bindparam("cpus_left", type_=Double()),
        _OTHERS.c.memory_mib > bindparam("memory_left", type_=Double()),
        _OTHERS.c.disk_gib > bindparam("disk_left", type_=Double()),
    )
)
"""The other containers of a container's host leave too little for it: see room_beside."""


def room_beside(container: Container, capacity: Capacity) -> Mapping[str, object]:
    """Return what IS_FULL asks for, but the container's row: how much its host may promise to others."""
    spec = container.spec
    return {
        "on_host": container.host,
        "cpus_left": min(capacity.cpus - spec.cpu + ROUNDING, _UNLIMITED),
        "memory_left": min(capacity.memory_mib - spec.memory_mib, _UNLIMITED),
        "disk_left": min(capacity.disk_gib - (spec.disk_gib or 0), _UNLIMITED),
    }


_ON_HOST: Final = select(*_SUMS).where(containers.c.host == bindparam("on_host"))


def used_on(db: Connection, host: str) -> AnyRow:
    """Return what the containers of a host were promised."""
    return db.execute(_ON_HOST, {"on_host": host}).one()


def usage(db: Connection, project_id: str) -> Mapping[Resource, float]:
    """See Containers."""
    row = db.execute(select(*_SUMS).where(containers.c.project_id == project_id)).one()
    return {
        "containers": row.containers,
        "cpu": row.cpu,
        "memory": float(row.memory_mib),
        "disk": float(row.disk_gib),
    }
