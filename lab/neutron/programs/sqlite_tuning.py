"""SQLite under a threaded server: without this, parallel writes are answered 500 `database is locked`."""

# The packages are in the servers' environment only.
# mypy: disable-error-code="import-not-found,import-untyped,untyped-decorator"

import sqlite3

import sqlalchemy
from oslo_db import exception
from oslo_db.sqlalchemy import exc_filters
from sqlalchemy import event


@event.listens_for(sqlalchemy.engine.Engine, "connect")
def _tune(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA busy_timeout=10000")
    # A cloud of the lab does not outlive its machine.
    connection.execute("PRAGMA synchronous=OFF")


@event.listens_for(sqlalchemy.engine.Engine, "before_cursor_execute", retval=True)
def _begin_at_the_first_write(
    _connection: object, cursor: sqlite3.Cursor, statement: str, parameters: object, _context: object, _many: object
) -> tuple[str, object]:
    """Take the write lock when a transaction first writes, by waiting for it.

    oslo.db begins every transaction at its first read; SQLite then refuses the later write at once if anyone
    else wrote in between, and each retry of Neutron costs seconds.
    """
    if statement == "BEGIN":
        return "SELECT 1", parameters
    if not statement.startswith("SELECT") and not cursor.connection.in_transaction:
        cursor.execute("BEGIN IMMEDIATE")
    return statement, parameters


@exc_filters.filters("sqlite", sqlalchemy.exc.OperationalError, r".*database (table )?is locked")
def _locked(error: Exception, _match: object, _engine: object, _is_disconnect: object) -> None:
    # Neutron and Keystone retry a deadlock by themselves.
    raise exception.DBDeadlock(error)
