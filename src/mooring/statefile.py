"""The edge to mooring's own memory: SQLite files under the state directory, and the only door to their failures."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from mooring.errors import StateFileUnusable

_DAMAGED: Final = (
    "stop mooring, remove the containers that use it and move the file away; at its next start mooring makes a new one"
)
_FORBIDDEN: Final = "run mooring as root, with a state_dir that it may write in"
_DISK: Final = "make room on the disk that state_dir is on, or mend it, and try again"

# SQLite's primary result codes (sqlite.org/rescode.html) that speak of the file. All others are our own mistakes.
_REMEDIES: Final = {
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_CANTOPEN: _FORBIDDEN,
    sqlite3.SQLITE_PERM: _FORBIDDEN,
    sqlite3.SQLITE_READONLY: _FORBIDDEN,
    sqlite3.SQLITE_FULL: _DISK,
    sqlite3.SQLITE_IOERR: _DISK,
    sqlite3.SQLITE_BUSY: "another process has it locked; try again when that has ended",
}


class StateFile:
    """One connection to a file, shared by a process's threads, one transaction at a time.

    Every method raises StateFileUnusable where the file fails.
    """

    def __init__(self, path: Path, *schema: str) -> None:
        """Open a file, and make it where there is none, for our eyes only.

        ``schema`` is the SQL of each version in turn, from an empty file to the present one: an older file is brought
        up to date, a newer one is refused.
        """
        self._path = path
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
        except OSError as exc:
            raise StateFileUnusable(path, str(exc.strerror), _FORBIDDEN) from exc
        with self._failures():
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
                self._connection.execute("PRAGMA foreign_keys=ON")
                self._bring_up_to_date(schema)
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Close the file; it cannot be used afterwards."""
        with self._lock, self._failures():
            self._connection.close()

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Make the statements within one: all of them or none. One inside another is part of it.

        What is committed outlives the process; the outermost ``durable`` says whether it is on the disk by then, to
        outlive a power failure, too.
        """
        with self._lock, self._failures():
            if self._connection.in_transaction:
                yield self._connection
                return
            self._connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.commit()
            except BaseException:
                self._connection.rollback()
                raise

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        with self._lock, self._failures():
            return self._connection.execute(query, values).fetchall()

    def _bring_up_to_date(self, schema: tuple[str, ...]) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(schema):
            raise StateFileUnusable(
                self._path, f"a newer mooring wrote it (version {version} of its form)", "run that one, or a newer one"
            )
        for number, sql in enumerate(schema[version:], start=version + 1):
            try:
                self._connection.executescript(f"BEGIN IMMEDIATE; {sql} PRAGMA user_version={number}; COMMIT;")
            except BaseException:
                self._connection.rollback()
                raise

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            # The low byte is the primary code. Misuse of the module itself carries none.
            remedy = _REMEDIES.get(getattr(exc, "sqlite_errorcode", 0) & 0xFF)
            if remedy is None:
                raise
            raise StateFileUnusable(self._path, str(exc), remedy) from exc
