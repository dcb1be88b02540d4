"""What was asked of containers, and how it ended."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from mooring.db.api import Action, Event
from mooring.db.rows import read_action, read_event
from mooring.db.tables import actions, containers, events
from mooring.errors import ActionNotFound, ContainerNotFound


def start_action(db: Connection, action: Action) -> None:
    """See History."""
    if _number(db, action.container, action.request_id) is not None:
        return
    # The row must be there when this is written: who deletes it waits.
    known = (
        select(containers.c.id).where(containers.c.uuid == action.container).with_for_update(read=True, key_share=True)
    )
    if db.execute(known).one_or_none() is None:
        raise ContainerNotFound(action.container)
    db.execute(
        insert(actions).values(
            container=action.container,
            request_id=action.request_id,
            action=action.action,
            project_id=action.project_id,
            user_id=action.user_id,
            start=action.start,
            finish=action.finish,
            message=action.message,
        )
    )


def finish_action(db: Connection, container: str, request_id: str, *, now: datetime, message: str | None) -> None:
    """See History."""
    open_ = (actions.c.container == container) & (actions.c.request_id == request_id) & actions.c.finish.is_(None)
    db.execute(update(actions).where(open_).values(finish=now, message=message))


def add_event(db: Connection, container: str, request_id: str, event: Event) -> None:
    """See History."""
    number = _number(db, container, request_id)
    if number is None:
        return
    values = {"finish": event.finish, "result": event.result, "traceback": event.traceback}
    begun = (events.c.action == number) & (events.c.name == event.name) & events.c.finish.is_(None)
    if event.finish is not None and db.execute(update(events).where(begun).values(values)).rowcount:
        return
    db.execute(insert(events).values(action=number, name=event.name, start=event.start, **values))


def list_actions(db: Connection, container: str) -> tuple[Action, ...]:
    """See History."""
    query = select(actions).where(actions.c.container == container).order_by(actions.c.id.desc())
    return tuple(map(read_action, db.execute(query)))


def action(db: Connection, container: str, request_id: str) -> Action:
    """See History."""
    query = select(actions).where(actions.c.container == container, actions.c.request_id == request_id)
    row = db.execute(query).one_or_none()
    if row is None:
        raise ActionNotFound(container, request_id)
    steps = db.execute(select(events).where(events.c.action == row.id).order_by(events.c.id))
    return read_action(row, tuple(map(read_event, steps)))


def _number(db: Connection, container: str, request_id: str) -> int | None:
    query = select(actions.c.id).where(actions.c.container == container, actions.c.request_id == request_id)
    return db.execute(query).scalar_one_or_none()
