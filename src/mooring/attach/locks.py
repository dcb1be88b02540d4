"""Locks by key: work on different PFs runs in parallel, work on one in series."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from mooring.attach.types import Lease


class KeyedLocks:
    """A lock for each key that somebody holds or waits for; attachments come and go, and so do their locks."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[object, tuple[threading.RLock, int]] = {}

    @contextmanager
    def holding(self, key: object) -> Iterator[None]:
        """Hold the key's lock; a thread may hold it several times."""
        with self._guard:
            lock, users = self._locks.get(key, (threading.RLock(), 0))
            self._locks[key] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            self._drop(key)

    def __contains__(self, key: object) -> bool:
        """Tell whether somebody holds the key or waits for it at this moment."""
        with self._guard:
            return key in self._locks

    def __len__(self) -> int:
        """Return how many keys are held or waited for."""
        return len(self._locks)

    def _drop(self, key: object) -> None:
        with self._guard:
            lock, users = self._locks.pop(key)
            if users > 1:
                self._locks[key] = (lock, users - 1)


def card_of(card_locks: KeyedLocks, lease: Lease) -> AbstractContextManager[None]:
    """Hold the card of a lease's device; what is of no card is in nobody's way."""
    return card_locks.holding(lease.parent or lease.id)
