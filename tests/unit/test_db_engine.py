"""The way to the database, and what is said when there is none."""

from __future__ import annotations

import socket
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from database_forms import differences
from store_world import added, interface

from mooring.db import engine, migrations
from mooring.db.store import SqlStore
from mooring.errors import DatabaseUnavailable, InvalidConfiguration

SECRET = "s3cret"  # noqa: S105 - of a database that is not there


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "service.sqlite"


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port whose owner accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("url", [f"oracle://u:{SECRET}@db/x", f"nonsense {SECRET}", ""])
def test_a_url_of_no_database_that_is_served_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InvalidConfiguration, match="postgresql") as refusal:
        SqlStore(url)
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "mariadb"])
def test_a_server_that_is_away_is_told_and_nothing_shows_the_password(scheme: str) -> None:
    with closing(SqlStore(f"{scheme}://u:{SECRET}@127.0.0.1:1/x")) as store:
        for ask in (store.ping, store.service_id, store.hosts):
            with pytest.raises(DatabaseUnavailable, match=r"does not answer .*127\.0\.0\.1.*; try again") as refusal:
                ask()
            assert SECRET not in str(refusal.value)


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_server_that_says_nothing_is_not_waited_for_long(
    scheme: str, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("CONNECT_S", "ANSWER_S"):
        monkeypatch.setattr(engine, limit, 2)  # libpq's least
    with (
        closing(SqlStore(f"{scheme}://u:{SECRET}@127.0.0.1:{silent_port}/x")) as store,
        pytest.raises(DatabaseUnavailable),
    ):
        store.ping()


def test_a_file_is_made_for_nobody_else_to_read_and_kept(file: Path) -> None:
    with closing(SqlStore(f"sqlite:///{file}")) as store:
        written = added(store)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    with closing(SqlStore(f"sqlite:///{file}")) as store:
        assert store.container(written.uuid) == written


def test_a_file_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DatabaseUnavailable, match=r"service\.sqlite"):
        SqlStore(f"sqlite:///{tmp_path}/file/service.sqlite")


def test_what_was_begun_before_a_failure_is_undone(file: Path) -> None:
    with closing(SqlStore(f"sqlite:///{file}")) as store:
        with closing(sqlite3.connect(file)) as hands:
            hands.execute("DROP TABLE actions")  # what is written last
        with pytest.raises(DatabaseUnavailable, match="mooring db upgrade"):
            added(store, interfaces=(interface(),))
    with closing(sqlite3.connect(file)) as hands:
        assert hands.execute("SELECT id FROM containers UNION SELECT container FROM reservations").fetchall() == []


def test_a_transaction_that_cannot_be_had_in_time_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "ANSWER_S", 0.1)
    with closing(SqlStore(f"sqlite:///{file}")) as store, closing(sqlite3.connect(file)) as hands:
        known = added(store)
        hands.execute("BEGIN IMMEDIATE")

        assert store.container(known.uuid) == known
        with pytest.raises(DatabaseUnavailable, match="locked"):
            added(store)


def test_a_file_is_brought_up_to_date_once(file: Path) -> None:
    url = f"sqlite:///{file}"
    assert migrations.current(url) is None

    SqlStore(url).close()

    assert migrations.current(url) == migrations.newest() == migrations.upgrade(url)


def test_migrations_make_the_tables_that_the_code_speaks_of(file: Path) -> None:
    migrations.upgrade(f"sqlite:///{file}")

    assert differences(f"sqlite:///{file}") == []


def test_the_comparison_would_see_a_difference(file: Path) -> None:
    migrations.upgrade(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as hands:
        hands.execute("DROP INDEX devices_free")
        hands.execute("ALTER TABLE events DROP COLUMN traceback")

    assert sorted(difference[0] for difference in differences(f"sqlite:///{file}")) == ["add_column", "add_index"]


def test_a_newer_moorings_tables_are_left_alone(file: Path) -> None:
    url = f"sqlite:///{file}"
    migrations.upgrade(url)
    with closing(sqlite3.connect(file)) as hands:
        hands.execute("UPDATE alembic_version SET version_num = '9999'")
        hands.commit()

    with pytest.raises(DatabaseUnavailable, match="9999"):
        SqlStore(url)
    assert migrations.current(url) == "9999"
