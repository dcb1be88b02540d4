"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import DATETIME, LONGTEXT

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.String(255)
PROSE = sa.Text().with_variant(LONGTEXT(), "mysql", "mariadb")
TIME = sa.DateTime(timezone=True).with_variant(DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    """Make the tables."""
    _make_service()
    _make_containers()
    _make_hosts()
    _make_history()


def _make_service() -> None:
    _make(
        "service",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("service_single_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("service_pk")),
    )
    _make(
        "projects",
        sa.Column("id", NAME, nullable=False),
        sa.Column("containers", sa.Double()),
        sa.Column("cpu", sa.Double()),
        sa.Column("memory", sa.Double()),
        sa.Column("disk", sa.Double()),
        sa.PrimaryKeyConstraint("id", name=op.f("projects_pk")),
    )


def _make_containers() -> None:
    _make(
        "containers",
        sa.Column("id", ID, nullable=False),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("project_id", NAME, nullable=False),
        sa.Column("user_id", NAME, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("image", sa.String(1024), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("task_state", sa.String(32)),
        sa.Column("host", NAME),
        sa.Column("cpu", sa.Double(), nullable=False),
        sa.Column("memory_mib", ID, nullable=False),
        sa.Column("disk_gib", ID, nullable=False),
        sa.Column("auto_remove", sa.Boolean(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("due_at", TIME),
        sa.Column("revision", ID, nullable=False),
        sa.Column("body", PROSE, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("containers_pk")),
        sa.UniqueConstraint("uuid", name=op.f("containers_uuid_key")),
    )
    op.create_index("containers_project_id_created_at", "containers", ["project_id", "created_at"])
    op.create_index("containers_created_at", "containers", ["created_at"])
    op.create_index("containers_name", "containers", ["name"])
    _index_some("containers_host", "containers", "host", where="host IS NOT NULL")
    _index_some("containers_due_at", "containers", "due_at", where="due_at IS NOT NULL")
    _make(
        "reservations",
        sa.Column("port_id", sa.String(36), nullable=False),
        sa.Column("container", ID, nullable=False),
        sa.PrimaryKeyConstraint("port_id", name=op.f("reservations_pk")),
        sa.ForeignKeyConstraint(
            ["container"], ["containers.id"], name=op.f("reservations_container_fk"), ondelete="CASCADE"
        ),
    )
    op.create_index("reservations_container", "reservations", ["container"])


def _make_hosts() -> None:
    _make(
        "hosts",
        sa.Column("id", ID, nullable=False),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("facts", PROSE, nullable=False),
        sa.Column("boot_id", NAME, nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("report_count", ID, nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", PROSE),
        sa.Column("forced_down", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("hosts_pk")),
        sa.UniqueConstraint("uuid", name=op.f("hosts_uuid_key")),
        sa.UniqueConstraint("name", name=op.f("hosts_name_key")),
    )
    _make(
        "devices",
        sa.Column("id", ID, nullable=False),
        sa.Column("host", ID, nullable=False),
        sa.Column("address", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("vendor_id", sa.String(4), nullable=False),
        sa.Column("product_id", sa.String(4), nullable=False),
        sa.Column("parent", sa.String(16)),
        sa.Column("numa_node", sa.Integer()),
        sa.Column("physical_network", NAME),
        sa.Column("trusted", sa.Boolean(), nullable=False),
        sa.Column("vf_driver", NAME),
        sa.Column("mac", sa.String(32)),
        sa.Column("label", PROSE, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("holder", NAME),
        sa.Column("detail", PROSE, nullable=False),
        sa.Column("container", ID),
        sa.Column("request", sa.String(36)),
        sa.PrimaryKeyConstraint("id", name=op.f("devices_pk")),
        sa.ForeignKeyConstraint(["host"], ["hosts.id"], name=op.f("devices_host_fk"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["container"], ["containers.id"], name=op.f("devices_container_fk")),
        sa.UniqueConstraint("host", "address", name=op.f("devices_host_address_key")),
    )
    op.create_index("devices_host_parent", "devices", ["host", "parent"])
    _index_some("devices_container", "devices", "container", where="container IS NOT NULL")
    is_free = "container IS NULL AND state = 'free'"
    _index_some("devices_free", "devices", "host", "kind", "physical_network", where=is_free)


def _make_history() -> None:
    _make(
        "actions",
        sa.Column("id", ID, nullable=False),
        sa.Column("container", sa.String(36), nullable=False),
        sa.Column("request_id", NAME, nullable=False),
        sa.Column("action", NAME, nullable=False),
        sa.Column("project_id", NAME, nullable=False),
        sa.Column("user_id", NAME, nullable=False),
        sa.Column("start", TIME, nullable=False),
        sa.Column("finish", TIME),
        sa.Column("message", PROSE),
        sa.PrimaryKeyConstraint("id", name=op.f("actions_pk")),
        sa.ForeignKeyConstraint(
            ["container"], ["containers.uuid"], name=op.f("actions_container_fk"), ondelete="CASCADE"
        ),
        sa.UniqueConstraint("container", "request_id", name=op.f("actions_container_request_id_key")),
    )
    _make(
        "events",
        sa.Column("id", ID, nullable=False),
        sa.Column("action", ID, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("start", TIME, nullable=False),
        sa.Column("finish", TIME),
        sa.Column("result", sa.String(16)),
        sa.Column("traceback", PROSE),
        sa.PrimaryKeyConstraint("id", name=op.f("events_pk")),
        sa.ForeignKeyConstraint(["action"], ["actions.id"], name=op.f("events_action_fk"), ondelete="CASCADE"),
    )
    op.create_index("events_action", "events", ["action"])


def _make(name: str, *items: sa.Column[object] | sa.Constraint) -> None:
    op.create_table(
        name,
        *items,
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_nopad_bin",
        mariadb_engine="InnoDB",
        mariadb_charset="utf8mb4",
        mariadb_collate="utf8mb4_nopad_bin",
    )


def _index_some(name: str, table: str, *columns: str, where: str) -> None:
    op.create_index(name, table, columns, postgresql_where=sa.text(where), sqlite_where=sa.text(where))
