"""The tables of the service's database. Migrations make them; a test holds the two together.

A container is one row with all of it as JSON (``body``); the columns beside it are what is searched, counted and
compared. What must be unique, or is searched from the other side, has rows of its own: reserved ports and devices.
Whether a device is blocked by its PF or its VFs is in no column: it follows from whose its relatives are.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.schema import SchemaItem

from mooring.db.columns import Id, Name, Prose, UtcTime

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "fk": "%(table_name)s_%(column_0_name)s_fk",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


def _table(name: str, *items: SchemaItem) -> Table:
    # Names are compared exactly, blanks at the end included. Numbers of rows that are gone are not used again.
    return Table(
        name,
        metadata,
        *items,
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_nopad_bin",
    )


def _partial_index(name: str, *columns: str, where: str) -> Index:
    """Return an index of some rows only, where the database can do that."""
    return Index(name, *columns, postgresql_where=text(where), sqlite_where=text(where))


service = _table(
    "service",
    Column("id", Integer, CheckConstraint("id = 1", name="single"), primary_key=True, autoincrement=False),
    Column("uuid", String(36), nullable=False),
)
"""The one row that tells this service from others; locked by those who need a name that is unique everywhere."""

projects = _table(
    "projects",
    Column("id", Name, primary_key=True),
    Column("containers", Double),
    Column("cpu", Double),
    Column("memory", Double),
    Column("disk", Double),
)
"""Limits that were set for projects; NULL is the configured one. Locked by who adds containers to a project."""

containers = _table(
    "containers",
    Column("id", Id, primary_key=True),
    Column("uuid", String(36), nullable=False),
    Column("project_id", Name, nullable=False),
    Column("user_id", Name, nullable=False),
    Column("name", Name, nullable=False),
    Column("image", String(1024), nullable=False),
    Column("status", String(32), nullable=False),
    Column("task_state", String(32)),
    Column("host", Name),
    Column("cpu", Double, nullable=False),
    Column("memory_mib", Id, nullable=False),
    Column("disk_gib", Id, nullable=False),
    Column("auto_remove", Boolean, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("due_at", UtcTime),
    Column("revision", Id, nullable=False),
    Column("body", Prose, nullable=False),
    UniqueConstraint("uuid"),
    Index("containers_project_id_created_at", "project_id", "created_at"),
    Index("containers_created_at", "created_at"),
    Index("containers_name", "name"),
    _partial_index("containers_host", "host", where="host IS NOT NULL"),
    _partial_index("containers_due_at", "due_at", where="due_at IS NOT NULL"),
)

reservations = _table(
    "reservations",
    Column("port_id", String(36), primary_key=True),
    Column("container", Id, ForeignKey(containers.c.id, ondelete="CASCADE"), nullable=False),
    Index("reservations_container", "container"),
)
"""Ports that are a container's: the key lets no other have them."""

hosts = _table(
    "hosts",
    Column("id", Id, primary_key=True),
    Column("uuid", String(36), nullable=False),
    Column("name", Name, nullable=False),
    Column("facts", Prose, nullable=False),
    Column("boot_id", Name, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("report_count", Id, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("disabled_reason", Prose),
    Column("forced_down", Boolean, nullable=False),
    UniqueConstraint("uuid"),
    UniqueConstraint("name"),
)
"""Locked by who claims devices of a host, or writes what it reports: one after the other."""

devices = _table(
    "devices",
    Column("id", Id, primary_key=True),
    Column("host", Id, ForeignKey(hosts.c.id, ondelete="CASCADE"), nullable=False),
    Column("address", String(16), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("vendor_id", String(4), nullable=False),
    Column("product_id", String(4), nullable=False),
    Column("parent", String(16)),
    Column("numa_node", Integer),
    Column("physical_network", Name),
    Column("trusted", Boolean, nullable=False),
    Column("vf_driver", Name),
    Column("mac", String(32)),
    Column("label", Prose, nullable=False),
    Column("state", String(16), nullable=False),
    Column("holder", Name),
    Column("detail", Prose, nullable=False),
    Column("container", Id, ForeignKey(containers.c.id)),
    Column("request", String(36)),
    UniqueConstraint("host", "address"),
    Index("devices_host_parent", "host", "parent"),
    _partial_index("devices_container", "container", where="container IS NOT NULL"),
    # What the scheduler asks of each host: has it one of these?
    _partial_index("devices_free", "host", "kind", "physical_network", where="container IS NULL AND state = 'free'"),
)
"""``container`` is the claim."""

actions = _table(
    "actions",
    Column("id", Id, primary_key=True),
    Column("container", String(36), ForeignKey(containers.c.uuid, ondelete="CASCADE"), nullable=False),
    Column("request_id", Name, nullable=False),
    Column("action", Name, nullable=False),
    Column("project_id", Name, nullable=False),
    Column("user_id", Name, nullable=False),
    Column("start", UtcTime, nullable=False),
    Column("finish", UtcTime),
    Column("message", Prose),
    UniqueConstraint("container", "request_id"),
)

events = _table(
    "events",
    Column("id", Id, primary_key=True),
    Column("action", Id, ForeignKey(actions.c.id, ondelete="CASCADE"), nullable=False),
    Column("name", Name, nullable=False),
    Column("start", UtcTime, nullable=False),
    Column("finish", UtcTime),
    Column("result", String(16)),
    Column("traceback", Prose),
    Index("events_action", "action"),
)
