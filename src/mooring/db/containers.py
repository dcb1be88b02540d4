"""Containers: written whole, by whoever saw them last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final, Literal

from sqlalchemy import Connection, Update, bindparam, delete, insert, or_, select, update

from mooring.container.model import Container
from mooring.container.states import Status
from mooring.db import history, owners, projects
from mooring.db.api import Action, Resource
from mooring.db.rows import CONTAINER_COLUMNS, container_values, read_container
from mooring.db.tables import containers, hosts, reservations
from mooring.errors import Outdated, PortBusy

# Statements of which many are made are put together once.
WRITE: Final = update(containers).where(
    containers.c.id == bindparam("seen_row"), containers.c.revision == bindparam("seen_revision")
)


def add_container(
    db: Connection,
    container: Container,
    *,
    action: Action,
    limits: Mapping[Resource, float],
    unique_names: Literal["", "project", "global"] = "",
) -> Container:
    """See Containers."""
    projects.lock_names(db, container.project_id, everywhere=unique_names == "global")
    if unique_names:
        projects.require_free_name(db, container, everywhere=unique_names == "global")
    projects.require_room(db, container, limits)
    _require_free_ports(db, container, _ports(container))
    first = replace(container, revision=1)
    key = db.execute(insert(containers).values(container_values(first))).inserted_primary_key
    added = replace(first, row=key[0] if key else 0)
    _reserve(db, added, _ports(added))
    history.start_action(db, action)
    return added


def container(db: Connection, uuid: str) -> Container | None:
    """See Containers."""
    row = db.execute(select(*CONTAINER_COLUMNS).where(containers.c.uuid == uuid)).one_or_none()
    return None if row is None else read_container(row)


def find_containers(db: Connection, key: str, project_id: str | None) -> tuple[Container, ...]:
    """See Containers."""
    query = select(*CONTAINER_COLUMNS).where(or_(containers.c.uuid == key, containers.c.name == key))
    if project_id is not None:
        query = query.where(containers.c.project_id == project_id)
    return tuple(map(read_container, db.execute(query.order_by(containers.c.id))))


def save(db: Connection, container: Container) -> Container:
    """See Containers."""
    held = owners.devices_of(db, container)
    honest = owners.without_others(container, held)
    saved = write_if_unchanged(db, honest)
    owners.free(db, held - {device.row for device in honest.devices})
    reserved = set(
        db.execute(select(reservations.c.port_id).where(reservations.c.container == container.row)).scalars()
    )
    wanted = _ports(container)
    if gone := reserved - wanted:
        db.execute(delete(reservations).where(reservations.c.port_id.in_(gone)))
    if new := wanted - reserved:
        _require_free_ports(db, container, new)
        _reserve(db, container, new)
    return saved


def write_if_unchanged(
    db: Connection, container: Container, *, statement: Update = WRITE, **values: object
) -> Container:
    """Write a container's own row; raise Outdated if it is not as its writer saw it.

    The statement may be WRITE with more conditions, of which the values are: Outdated is raised when one is not met.
    """
    saved = replace(container, revision=container.revision + 1)
    seen = {"seen_row": container.row, "seen_revision": container.revision}
    if db.execute(statement, {**seen, **values, **container_values(saved)}).rowcount != 1:
        raise Outdated(f"container {container.uuid}")
    return saved


def remove(db: Connection, container: Container) -> None:
    """See Containers."""
    write_if_unchanged(db, container)
    owners.free(db, owners.devices_of(db, container))
    db.execute(delete(containers).where(containers.c.id == container.row))


def take_due(db: Connection, now: datetime, again_at: datetime) -> Container | None:
    """See Containers."""
    query = select(*CONTAINER_COLUMNS).where(containers.c.due_at <= now).order_by(containers.c.due_at).limit(1)
    # Whom another controller is just taking is not waited for.
    row = db.execute(query.with_for_update(skip_locked=True)).one_or_none()
    if row is None:
        return None
    db.execute(update(containers).where(containers.c.id == row.id).values(due_at=again_at))
    return replace(read_container(row), due_at=again_at)


def wanted_on(db: Connection, host: str) -> tuple[Container, ...]:
    """See Containers."""
    query = select(*CONTAINER_COLUMNS).where(containers.c.host == host).order_by(containers.c.id)
    return tuple(map(read_container, db.execute(query)))


def placed_on_silent_hosts(db: Connection, silent_since: datetime) -> tuple[Container, ...]:
    """See Containers."""
    silent = select(hosts.c.name).where(or_(hosts.c.seen_at < silent_since, hosts.c.forced_down))
    query = select(*CONTAINER_COLUMNS).where(containers.c.host.in_(silent), containers.c.status != Status.UNKNOWN)
    return tuple(map(read_container, db.execute(query.order_by(containers.c.id))))


def _ports(container: Container) -> set[str]:
    return {interface.port_id for interface in container.interfaces if interface.port_id is not None}


def _require_free_ports(db: Connection, container: Container, ports: Iterable[str]) -> None:
    query = (
        select(reservations.c.port_id, containers.c.uuid)
        .join(containers, containers.c.id == reservations.c.container)
        .where(reservations.c.port_id.in_(sorted(ports)), containers.c.uuid != container.uuid)
    )
    taken = db.execute(query.limit(1)).one_or_none()
    if taken is not None:
        raise PortBusy(taken.port_id, f"container {taken.uuid}")


def _reserve(db: Connection, container: Container, ports: Iterable[str]) -> None:
    # In one order, so that two who want the same ports do not wait for each other.
    rows = [{"port_id": port, "container": container.row} for port in sorted(ports)]
    if rows:
        db.execute(insert(reservations), rows)
