"""Keeps the host in order beside the requests: Neutron is told, debts are paid, free VFs are kept clean."""

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
    """A thread that makes its round whenever something is new, and at least every 30 seconds."""

    def __init__(self, *, engine: Engine, settlement: Settlement, door_debts: Callable[[], None]) -> None:
        self._settlement = settlement
        self._duties = (settlement.settle, door_debts, engine.sweep)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)

    def start(self) -> None:
        """Begin making rounds."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the present round and stop."""
        self._stopping.set()
        self._settlement.nudge()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            for duty in self._duties:
                self._do(duty)
            self._settlement.wait(ROUND_S)

    def _do(self, duty: Callable[[], None]) -> None:
        """Do one duty; that it failed must not keep the others from being done."""
        try:
            duty()
        except MooringError as exc:
            log.error("round.failed", duty=duty.__qualname__, error=str(exc))
        except Exception:
            log.exception("round.broken", duty=duty.__qualname__)
