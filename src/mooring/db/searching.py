"""Lists of containers, page by page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Column, ColumnElement, Connection, and_, bindparam, false, func, or_, select

from mooring.container.model import Container
from mooring.db.api import ContainerQuery
from mooring.db.rows import CONTAINER_COLUMNS, read_container
from mooring.db.tables import containers
from mooring.errors import ContainerNotFound, InvalidRequest

_FILTERS: Final[Mapping[str, Column[object]]] = {
    "name": containers.c.name,
    "image": containers.c.image,
    "user_id": containers.c.user_id,
    "memory": containers.c.memory_mib,
    "host": containers.c.host,
    "task_state": containers.c.task_state,
    "status": containers.c.status,
    "auto_remove": containers.c.auto_remove,
    "uuid": containers.c.uuid,
}
_OPTIONAL: Final = frozenset({"host", "task_state"})
_MOST: Final = 2**63 - 1


def search(db: Connection, query: ContainerQuery) -> tuple[Container, ...]:
    """See Containers."""
    key = _sort_key(query.sort_key)
    wanted = select(*CONTAINER_COLUMNS).where(*(_is(name, value) for name, value in query.filters.items()))
    if query.project_id is not None:
        wanted = wanted.where(containers.c.project_id == query.project_id)
    if query.marker is not None:
        wanted = wanted.where(_beyond(db, query.marker, key, descending=query.descending))
    order = (key.desc(), containers.c.id.desc()) if query.descending else (key, containers.c.id)
    return tuple(map(read_container, db.execute(wanted.order_by(*order).limit(query.limit))))


def _sort_key(name: str) -> ColumnElement[object]:
    if name == "created_at":
        return containers.c.created_at
    # Databases do not agree on where NULL belongs.
    return func.coalesce(_column(name), "") if name in _OPTIONAL else _column(name)


def _column(name: str) -> Column[object]:
    if name not in _FILTERS:
        raise InvalidRequest(f"containers have no {name!r} to be found by; there are {', '.join(_FILTERS)}")
    return _FILTERS[name]


def _is(name: str, value: str | int | bool) -> ColumnElement[bool]:  # noqa: FBT001 - a value
    column = _column(name)
    kind = column.type.python_type
    # A value of another type is nobody's, and databases do not agree on what to say about it.
    return column == value if isinstance(value, kind) and _holds(value) else false()


def _holds(value: object) -> bool:
    return not isinstance(value, int) or abs(value) <= _MOST


def _beyond(db: Connection, marker: str, key: ColumnElement[object], *, descending: bool) -> ColumnElement[bool]:
    last = db.execute(select(containers.c.id, key.label("key")).where(containers.c.uuid == marker)).one_or_none()
    if last is None:
        raise ContainerNotFound(marker)
    # As a parameter, since SQL's true has no order.
    there = bindparam(None, last.key, key.type, unique=True)
    if descending:
        return or_(key < there, and_(key == there, containers.c.id < last.id))
    return or_(key > there, and_(key == there, containers.c.id > last.id))
