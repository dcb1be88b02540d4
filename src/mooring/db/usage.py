"""What containers were promised, summed up when it is asked for: nothing is kept that could disagree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from sqlalchemy import Connection, bindparam, func, select

from mooring.db.api import Resource
from mooring.db.rows import AnyRow
from mooring.db.tables import containers

_SUMS = (
    func.count().label("containers"),
    func.coalesce(func.sum(containers.c.cpu), 0.0).label("cpu"),
    func.coalesce(func.sum(containers.c.memory_mib), 0).label("memory_mib"),
    func.coalesce(func.sum(containers.c.disk_gib), 0).label("disk_gib"),
)

_BY_HOST: Final = (
    select(containers.c.host, *_SUMS)
    .where(containers.c.host.in_(bindparam("hosts", expanding=True)))
    .group_by(containers.c.host)
)


def used_on(db: Connection, hosts: Iterable[str]) -> Mapping[str, AnyRow]:
    """Return what the containers of hosts were promised; a host without containers is left out."""
    return {row.host: row for row in db.execute(_BY_HOST, {"hosts": list(hosts)})}


def usage(db: Connection, project_id: str) -> Mapping[Resource, float]:
    """See Containers."""
    row = db.execute(select(*_SUMS).where(containers.c.project_id == project_id)).one()
    return {
        "containers": row.containers,
        "cpu": row.cpu,
        "memory": float(row.memory_mib),
        "disk": float(row.disk_gib),
    }
