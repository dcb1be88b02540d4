"""Locks by key: work on different PFs runs in parallel, work on one in series."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class KeyedLocks:
    """A lock for each key, made when it is first asked for. The keys are few (PFs, ports), so none is ever dropped."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[object, threading.RLock] = {}

    @contextmanager
    def holding(self, key: object) -> Iterator[None]:
        """Hold the key's lock; a thread may hold it several times."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.RLock())
        with lock:
            yield
