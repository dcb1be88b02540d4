"""What is about to be made in Neutron, written down so that it is found again should the answer be lost."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from typing import Final, TypeVar

from mooring.libnetwork.debts import Debts
from mooring.neutron.api import Neutron
from mooring.statefile import StateFile

GRACE_SECONDS: Final = 60.0
"""How old an intent is before it is looked up: Neutron may still be at work on a request that was given up here."""

Made = TypeVar("Made")
Kept = TypeVar("Kept")


class Intents:
    """Intents on disk, each under a token that what is made bears as its description.

    An intent is struck in the transaction that records what was made, so that one which stands tells of something
    that nobody has recorded.
    """

    def __init__(self, file: StateFile, neutron: Neutron, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._neutron = neutron
        self._clock = clock
        self._debts = Debts(self._take_back)
        self._under_way: set[str] = set()
        self._lock = threading.Lock()

    def make(self, resource: str, create: Callable[[str], Made], record: Callable[[Made], Kept]) -> Kept:
        """Create with a description and record what was made; return what recording it returns.

        ``resource`` is the plural of the API: ports, subnets, subnetpools. Raises what the two raise.
        """
        token = f"mooring:{uuid.uuid4()}"
        with self._lock:
            self._under_way.add(token)
        try:
            with self._file.transaction() as db:
                db.execute("INSERT INTO intent VALUES (?, ?, ?)", (token, resource, self._clock()))
            made = create(token)
            with self._file.transaction():
                kept = record(made)
                self._strike(token)
            return kept
        finally:
            with self._lock:
                self._under_way.discard(token)

    def stands(self, description: str) -> bool:
        """Tell whether what bears a description is being made here right now, or was left by a failure."""
        return bool(self._file.rows("SELECT 1 FROM intent WHERE token = ?", description))

    def pay_debts(self) -> None:
        """Delete what was made and never recorded, the latest first, for it may use what was made before."""
        with self._lock:
            under_way = set(self._under_way)
        rows = self._file.rows(
            "SELECT token, resource FROM intent WHERE written_at <= ? ORDER BY rowid DESC",
            self._clock() - GRACE_SECONDS,
        )
        self._debts.pay((token, resource) for token, resource in rows if token not in under_way)

    def _take_back(self, intent: tuple[str, str]) -> None:
        token, resource = intent
        self._neutron.delete_described(resource, token)
        with self._file.transaction(durable=False):
            self._strike(token)

    def _strike(self, token: str) -> None:
        with self._file.transaction() as db:
            db.execute("DELETE FROM intent WHERE token = ?", (token,))
