"""What differs between a database and the tables that the code speaks of."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from mooring.db.tables import metadata


def differences(url: str) -> list[tuple[str, ...]]:
    engine = create_engine(url)
    try:
        with engine.connect() as db:
            return compare_metadata(MigrationContext.configure(db, opts={"compare_type": True}), metadata)
    finally:
        engine.dispose()
