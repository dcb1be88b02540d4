"""SQLite under a threaded server: without this, parallel writes are answered 500 `database is locked`."""
# The packages are in the servers' environment only.
# mypy: disable-error-code="import-not-found,import-untyped,untyped-decorator"

import sqlite3
from typing import Any

import sqlalchemy
from oslo_db import exception
from oslo_db.sqlalchemy import exc_filters
from sqlalchemy import event


@exc_filters.filters("sqlite", sqlalchemy.exc.OperationalError, r".*database (table )?is locked")
def _locked(error: Exception, _match: object, _engine: object, _is_disconnect: object) -> None:
    # Neutron and Keystone retry a deadlock by themselves.
    raise exception.DBDeadlock(error)


@event.listens_for(sqlalchemy.engine.Engine, "connect")
def _tune(connection: Any, _record: object) -> None:  # noqa: ANN401
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA busy_timeout=10000")
        # A cloud of the lab does not outlive its machine.
        connection.execute("PRAGMA synchronous=OFF")
