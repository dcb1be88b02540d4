"""What a project may have: quotas, and names that are its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_args

from sqlalchemy import Connection, delete, insert, select, update

from mooring.container.model import Container
from mooring.db import services
from mooring.db.api import Resource
from mooring.db.tables import containers, projects
from mooring.db.usage import usage
from mooring.errors import NameTaken, QuotaExceeded

_RESOURCES: Final[tuple[Resource, ...]] = get_args(Resource)


def lock_names(db: Connection, project_id: str, *, everywhere: bool) -> None:
    """Let nobody else add containers to a project, or (``everywhere``) to any, until the transaction ends."""
    if everywhere:
        services.service_id(db)
    _lock(db, project_id)


def require_free_name(db: Connection, container: Container, *, everywhere: bool) -> None:
    """Raise NameTaken when another container has the name of one."""
    name = container.spec.name
    query = select(containers.c.uuid).where(containers.c.name == name, containers.c.uuid != container.uuid)
    if not everywhere:
        query = query.where(containers.c.project_id == container.project_id)
    holder = db.execute(query.limit(1)).scalar_one_or_none()
    if holder is not None:
        raise NameTaken(name, holder)


def require_room(db: Connection, container: Container, limits: Mapping[Resource, float]) -> None:
    """Raise QuotaExceeded when a container is more than its project may have besides what it has."""
    counted = {name: limit for name, limit in {**limits, **quotas(db, container.project_id)}.items() if limit >= 0}
    if not counted:
        return
    spec = container.spec
    wanted: Mapping[Resource, float] = {
        "containers": 1,
        "cpu": spec.cpu,
        "memory": spec.memory_mib,
        "disk": spec.disk_gib or 0,
    }
    in_use = usage(db, container.project_id)
    for resource, limit in counted.items():
        if in_use[resource] + wanted[resource] > limit:
            raise QuotaExceeded(resource, limit=limit, in_use=in_use[resource], wanted=wanted[resource])


def quotas(db: Connection, project_id: str) -> Mapping[Resource, float]:
    """See Quotas."""
    row = db.execute(select(projects).where(projects.c.id == project_id)).one_or_none()
    set_ = ((name, getattr(row, name, None)) for name in _RESOURCES)
    return {name: limit for name, limit in set_ if limit is not None}


def set_quotas(db: Connection, project_id: str, limits: Mapping[Resource, float]) -> None:
    """See Quotas."""
    _lock(db, project_id)
    if limits:
        db.execute(update(projects).where(projects.c.id == project_id).values(dict(limits)))


def delete_quotas(db: Connection, project_id: str) -> None:
    """See Quotas."""
    db.execute(delete(projects).where(projects.c.id == project_id))


def _lock(db: Connection, project_id: str) -> None:
    mine = select(projects.c.id).where(projects.c.id == project_id).with_for_update()
    if db.execute(mine).one_or_none() is None:
        # Another may be doing the same: the key decides, and the loser begins anew.
        db.execute(insert(projects).values(id=project_id))
