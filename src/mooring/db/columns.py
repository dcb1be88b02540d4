"""Types of columns that mean the same in all databases."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, String, Text
from sqlalchemy.dialects.mysql import DATETIME, LONGTEXT
from sqlalchemy.types import TypeDecorator, TypeEngine

# SQLite counts up only what it calls INTEGER, which has 64 bits there.
Id = BigInteger().with_variant(Integer(), "sqlite")
"""The number of a row. Never used again after the row is gone."""

Name = String(255)
"""A name or an id that somebody else has given."""

Prose = Text().with_variant(LONGTEXT(), "mysql", "mariadb")
"""Text of any length. MariaDB's plain TEXT ends at 64 KiB."""


class UtcTime(TypeDecorator[datetime]):
    """A time with microseconds: aware and in UTC in Python, whatever a database makes of time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:
        """Choose the column's type."""
        # MariaDB's plain DATETIME has whole seconds.
        is_mariadb = dialect.name in {"mysql", "mariadb"}
        return dialect.type_descriptor(DATETIME(fsp=6) if is_mariadb else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the time to a database."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment if dialect.name == "postgresql" else moment.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Take the time from a database."""
        if value is None:
            return None
        return value.astimezone(UTC) if dialect.name == "postgresql" else value.replace(tzinfo=UTC)
