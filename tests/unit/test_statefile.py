"""The state file: all or nothing, for root's eyes only, and a sentence for the operator when it fails."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.errors import StateFileUnusable
from mooring.statefile import StateFile

SCHEMA = "CREATE TABLE IF NOT EXISTS word (text TEXT PRIMARY KEY);"
INSERT = "INSERT INTO word VALUES (?)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "words.sqlite"


@pytest.fixture
def file(path: Path) -> Iterator[StateFile]:
    file = StateFile(path, SCHEMA)
    yield file
    file.close()


def words(file: StateFile) -> list[str]:
    return [text for (text,) in file.rows("SELECT text FROM word ORDER BY text")]


@pytest.mark.parametrize("durable", [True, False])
def test_what_was_committed_is_there_for_the_next_process(file: StateFile, path: Path, *, durable: bool) -> None:
    with file.transaction(durable=durable) as db:
        db.execute(INSERT, ("port",))

    other = StateFile(path, SCHEMA)
    assert words(other) == ["port"]
    other.close()


def test_a_failure_undoes_the_whole_transaction_also_what_was_done_inside_another(file: StateFile) -> None:
    def write_and_fail() -> None:
        with file.transaction() as db:
            db.execute(INSERT, ("outer",))
            with file.transaction() as same:
                same.execute(INSERT, ("inner",))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()

    assert words(file) == []
    with file.transaction() as db:
        db.execute(INSERT, ("next",))
    assert words(file) == ["next"]


def test_two_threads_do_not_mix_their_transactions(file: StateFile) -> None:
    waiting = threading.Event()

    def other() -> None:
        waiting.set()
        with file.transaction() as db:
            db.execute(INSERT, ("other",))

    thread = threading.Thread(target=other)

    def write_and_fail() -> None:
        with file.transaction() as db:
            db.execute(INSERT, ("first",))
            thread.start()
            assert waiting.wait(timeout=10)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    thread.join(timeout=10)

    assert words(file) == ["other"]


def test_what_is_durable_waits_for_the_disk_and_the_rest_does_not(file: StateFile) -> None:
    levels = []
    for durable in (True, False):
        with file.transaction(durable=durable) as db:
            levels += db.execute("PRAGMA synchronous").fetchone()

    assert levels == [2, 1]  # FULL, NORMAL: sqlite.org/pragma.html#pragma_synchronous


def test_nobody_else_may_read_it(file: StateFile, path: Path) -> None:
    with file.transaction() as db:
        db.execute(INSERT, ("port",))

    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()} == {
        "words.sqlite": 0o600,
        "words.sqlite-wal": 0o600,
        "words.sqlite-shm": 0o600,
    }


def test_a_file_that_is_no_database_is_named_with_what_to_do(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("[DEFAULT]\nthis is a configuration file, and long enough to be one\n" * 20)

    with pytest.raises(StateFileUnusable, match=r"words\.sqlite cannot be used: file is not a database; stop mooring"):
        StateFile(path, SCHEMA)


def test_damage_that_is_met_later_is_told_the_same_way(path: Path) -> None:
    file = StateFile(path, SCHEMA)
    with file.transaction() as db:
        db.executemany(INSERT, [(f"{number:0200}",) for number in range(500)])
    file.close()
    healthy = path.read_bytes()
    path.write_bytes(healthy[:4096] + b"\xff" * (len(healthy) - 4096))
    file = StateFile(path, SCHEMA)

    with pytest.raises(StateFileUnusable, match="malformed"):
        words(file)
    with pytest.raises(StateFileUnusable, match="malformed"), file.transaction() as db:
        db.execute(INSERT, ("more",))
    file.close()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")

    with pytest.raises(StateFileUnusable, match=r"words\.sqlite cannot be used: .*; run mooring as root"):
        StateFile(tmp_path / "state" / "words.sqlite", SCHEMA)


def test_a_full_disk_undoes_the_transaction_and_says_so(file: StateFile) -> None:
    file.rows("PRAGMA max_page_count = 3")

    with pytest.raises(StateFileUnusable, match="disk is full; make room"), file.transaction() as db:
        db.executemany(INSERT, [(f"{number:0200}",) for number in range(500)])

    assert words(file) == []


def test_a_mistake_of_our_own_is_not_blamed_on_the_file(file: StateFile) -> None:
    with pytest.raises(sqlite3.IntegrityError), file.transaction() as db:
        db.executemany(INSERT, [("twice",), ("twice",)])
    with pytest.raises(sqlite3.OperationalError):
        file.rows("SELECT")
