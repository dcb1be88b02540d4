"""The front door's memory on disk: one SQLite file under the state directory."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS network (
    docker_id TEXT PRIMARY KEY,
    network_id TEXT NOT NULL,
    created INTEGER NOT NULL,
    vnic_type TEXT,
    doomed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS subnet_use (
    docker_id TEXT NOT NULL REFERENCES network ON DELETE CASCADE,
    subnet_id TEXT NOT NULL,
    pool_id TEXT,
    created INTEGER NOT NULL,
    PRIMARY KEY (docker_id, subnet_id)
);
CREATE TABLE IF NOT EXISTS pool (
    pool_id TEXT PRIMARY KEY,
    cidr TEXT NOT NULL,
    created INTEGER NOT NULL,
    pending INTEGER NOT NULL,
    doomed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS reservation (
    port_id TEXT PRIMARY KEY,
    network_id TEXT NOT NULL,
    created INTEGER NOT NULL,
    container TEXT NOT NULL,
    reserved_at REAL NOT NULL,
    endpoint TEXT,
    doomed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS address (
    pool_id TEXT NOT NULL,
    address TEXT NOT NULL,
    version INTEGER NOT NULL,
    port_id TEXT NOT NULL REFERENCES reservation ON DELETE CASCADE,
    PRIMARY KEY (pool_id, address)
);
"""


class Database:
    """One connection shared by the server's threads, one transaction at a time.

    What is committed outlives the process. It outlives a power failure where it says ``durable``: what was created in
    Neutron must not be forgotten, whereas the rest is of no use without the containers that were running.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute("PRAGMA foreign_keys=ON")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file; the database cannot be used afterwards."""
        self._connection.close()

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def write(self, statement: str, *values: object) -> None:
        """Carry out one statement in a transaction of its own, or in the one that is open."""
        with self._lock:
            self._connection.execute(statement, values)

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[None]:
        """Make the statements within one: all of them or none; ``durable`` waits for the disk."""
        with self._lock:
            self._connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
