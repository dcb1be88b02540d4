"""Bringing the tables of a database to the form that this mooring needs.

Each step is a module of ``versions``, which says by itself what it does: it does not follow changes of ``tables``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from mooring.db.engine import Database
from mooring.db.tables import metadata
from mooring.errors import DatabaseUnavailable


def newest() -> str:
    """Return the version that this mooring needs."""
    return str(_scripts().get_current_head())


def current(url: str) -> str | None:
    """Return the version that a database has; None for one without tables of ours. Raises DatabaseUnavailable."""
    database = Database(url)
    try:
        return database.read(_current)
    finally:
        database.close()


def upgrade(url: str) -> str:
    """Bring a database to the version that this mooring needs, and return that. Nothing happens when it has it.

    Raises DatabaseUnavailable, too, when a newer mooring has been there. Not to be called by two at the same time:
    MariaDB cannot undo what was begun.
    """
    database = Database(url)
    try:
        upgrade_database(database)
    finally:
        database.close()
    return newest()


def upgrade_database(database: Database) -> None:
    """Bring a database to the version that this mooring needs, in one transaction."""
    database.write(_upgrade)


def _current(db: Connection) -> str | None:
    return MigrationContext.configure(db).get_current_revision()


def _upgrade(db: Connection) -> None:
    scripts, version = _scripts(), _current(db)
    known = [script.revision for script in scripts.walk_revisions()]
    if version is not None and version not in known:
        raise DatabaseUnavailable(f"its tables are of version {version}, a newer mooring's: run that, or a newer one")

    def steps(revision: Any, _: object) -> Any:  # noqa: ANN401 - Alembic's
        return scripts._upgrade_revs("head", revision)  # noqa: SLF001 - as alembic.command.upgrade does

    with EnvironmentContext(Config(), scripts, fn=steps) as environment:
        environment.configure(connection=db, target_metadata=metadata)
        environment.run_migrations()


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(Path(__file__).parent))
