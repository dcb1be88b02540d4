"""What containers were promised, summed up when it is asked for: nothing is kept that could disagree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, func, select

from mooring.db.api import Resource
from mooring.db.rows import AnyRow
from mooring.db.tables import containers

_SUMS = (
    func.count().label("containers"),
    func.coalesce(func.sum(containers.c.cpu), 0.0).label("cpu"),
    func.coalesce(func.sum(containers.c.memory_mib), 0).label("memory_mib"),
    func.coalesce(func.sum(containers.c.disk_gib), 0).label("disk_gib"),
)


def with_usage(hosts_query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Return a query for hosts with what their containers were promised besides: NULL where there are none."""
    found = hosts_query.cte("found")
    used = (
        select(containers.c.host, *_SUMS)
        .where(containers.c.host.in_(select(found.c.name)))
        .group_by(containers.c.host)
        .subquery("used")
    )
    sums = (used.c[name] for name in ("cpu", "memory_mib", "disk_gib", "containers"))
    return select(found, *sums).join(used, used.c.host == found.c.name, isouter=True)


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
