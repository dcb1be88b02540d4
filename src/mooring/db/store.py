"""The database as controllers see it: each method is one transaction around functions that speak SQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, text

from mooring.db.candidates import candidates
from mooring.db.claims import claim, grow
from mooring.db.containers import (
    add_container,
    container,
    find_containers,
    placed_on_silent_hosts,
    remove,
    save,
    take_due,
    wanted_on,
)
from mooring.db.engine import Database
from mooring.db.history import action, add_event, finish_action, list_actions, start_action
from mooring.db.hosts import forget_host, host, list_hosts, note_host, set_host
from mooring.db.inventory import list_devices
from mooring.db.migrations import upgrade_database
from mooring.db.pools import pools
from mooring.db.projects import delete_quotas, quotas, set_quotas
from mooring.db.searching import search
from mooring.db.services import service_id
from mooring.db.tables import metadata
from mooring.db.usage import usage

P = ParamSpec("P")
T = TypeVar("T")


def _reads(work: Callable[Concatenate[Connection, P], T]) -> Callable[Concatenate[SqlStore, P], T]:
    def method(self: SqlStore, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._database.read(work, *args, **kwargs)

    return method


def _writes(work: Callable[Concatenate[Connection, P], T]) -> Callable[Concatenate[SqlStore, P], T]:
    def method(self: SqlStore, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._database.write(work, *args, **kwargs)

    return method


def _ping(db: Connection) -> None:
    """See Store."""
    db.execute(text("SELECT 1"))


class SqlStore:
    """A Store in SQLite, PostgreSQL or MariaDB. Safe to use from several threads."""

    def __init__(self, url: str) -> None:
        """Raise InvalidConfiguration for a URL of another database. ``sqlite://`` is one in memory, for tests.

        A SQLite file is made and brought up to date by this; of a server that is an operator's doing (``migrations``).
        """
        self._database = Database(url)
        if self._database.is_in_memory:
            metadata.create_all(self._database.engine)
        elif self._database.is_embedded:
            upgrade_database(self._database)

    def close(self) -> None:
        """Close its connections."""
        self._database.close()

    ping = _reads(_ping)
    service_id = _writes(service_id)

    add_container = _writes(add_container)
    container = _reads(container)
    find_containers = _reads(find_containers)
    containers = _reads(search)
    save = _writes(save)
    grow = _writes(grow)
    claim = _writes(claim)
    remove = _writes(remove)
    take_due = _writes(take_due)
    wanted_on = _reads(wanted_on)
    placed_on_silent_hosts = _reads(placed_on_silent_hosts)
    usage = _reads(usage)

    note_host = _writes(note_host)
    hosts = _reads(list_hosts)
    host = _reads(host)
    set_host = _writes(set_host)
    forget_host = _writes(forget_host)
    candidates = _reads(candidates)
    devices = _reads(list_devices)
    pools = _reads(pools)

    start_action = _writes(start_action)
    finish_action = _writes(finish_action)
    add_event = _writes(add_event)
    actions = _reads(list_actions)
    action = _reads(action)

    quotas = _reads(quotas)
    set_quotas = _writes(set_quotas)
    delete_quotas = _writes(delete_quotas)
