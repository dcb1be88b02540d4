"""Keeps the host in order beside the requests: Neutron is told, debts are paid, VFs are kept clean."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from mooring.attach.engine import Engine
from mooring.attach.settlement import Settlement
from mooring.errors import MooringError

ROUND_S = 30.0

log = structlog.get_logger(__name__)


class Housekeeper:
    """Two threads, so that a card that does not answer holds up no port, and Neutron no card.

    One settles with Neutron whenever something is new, the other sweeps the host; each at least every 30 seconds.
    """

    def __init__(self, *, engine: Engine, settlement: Settlement, door_debts: Callable[[], None]) -> None:
        self._engine = engine
        self._settlement = settlement
        self._door_debts = door_debts
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._settle, name="settlement", daemon=True),
            threading.Thread(target=self._sweep, name="caretaker", daemon=True),
        ]

    def start(self) -> None:
        """Begin making rounds."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the present rounds and stop."""
        self._stopping.set()
        self._settlement.nudge()
        for thread in self._threads:
            thread.join()

    def _settle(self) -> None:
        while not self._stopping.is_set():
            _do(self._settlement.settle)
            _do(self._door_debts)
            self._settlement.wait(ROUND_S)

    def _sweep(self) -> None:
        while not self._stopping.is_set():
            _do(self._engine.sweep)
            self._stopping.wait(ROUND_S)


def _do(duty: Callable[[], None]) -> None:
    """Do one duty; that it failed must not keep the others from being done."""
    try:
        duty()
    except MooringError as exc:
        log.error("round.failed", duty=duty.__qualname__, error=str(exc))
    except Exception:
        log.exception("round.broken", duty=duty.__qualname__)
