"""Keeps the host in order beside the requests: Neutron is told and followed, debts are paid, VFs are kept clean."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from mooring.errors import MooringError
from mooring.node.wiring import Core
from mooring.process.watchdog import LONGEST_SILENCE_S, Watchdog

ROUND_S = 30.0
# Neutron announces what changes; only what it does not, it must be asked.
_COMPARE_S = 60.0
# Devices come, go and are renamed in bursts; one look serves for all of one.
_BURST_S = 2.0

log = structlog.get_logger(__name__)


class Housekeeper:
    """Threads, so that a card that does not answer holds up no port, and Neutron no card.

    One settles with Neutron whenever something is new, one sweeps the host whenever a device or an interface changes;
    each at least every 30 seconds. A third one listens to the kernel.
    """

    def __init__(self, core: Core, *, door_debts: Callable[[], None], watchdog: Watchdog) -> None:
        self._core = core
        self._door_debts = door_debts
        self._watchdog = watchdog
        self._stopping = threading.Event()
        self._changed = threading.Event()
        self._failures: dict[str, str] = {}
        self._listener = threading.Thread(target=self._listen, name="kernel-events", daemon=True)
        self._threads = [
            threading.Thread(target=self._settle, name="settlement", daemon=True),
            threading.Thread(target=self._sweep, name="reconciler", daemon=True),
        ]

    def start(self) -> None:
        """Begin making rounds."""
        for thread in (*self._threads, self._listener):
            thread.start()

    def stop(self) -> None:
        """Finish the present rounds and stop. The listener holds nothing, and ends with the process."""
        self._stopping.set()
        self._changed.set()
        self._core.settlement.nudge()
        for thread in self._threads:
            thread.join()

    def _settle(self) -> None:
        # Each call of Neutron is a beat, too; see open_core.
        beat = self._watchdog.expect("settlement", longest_silence_s=LONGEST_SILENCE_S)
        compare_at = 0.0
        while not self._stopping.is_set():
            beat()
            self._do(self._core.settlement.settle)
            self._do(self._core.follower.attend)
            if time.monotonic() >= compare_at:
                self._do(self._core.follower.round)
                compare_at = time.monotonic() + _COMPARE_S
            self._do(self._door_debts)
            self._core.settlement.wait(ROUND_S)

    def _sweep(self) -> None:
        beat = self._watchdog.expect("reconciler", longest_silence_s=LONGEST_SILENCE_S)
        while not self._stopping.is_set():
            beat()
            self._do(self._core.reconciler.sweep, beat)
            if self._changed.wait(ROUND_S):
                self._stopping.wait(_BURST_S)
                self._changed.clear()

    def _listen(self) -> None:
        while not self._stopping.is_set():
            self._do(self._pass_events_on)
            self._stopping.wait(ROUND_S)  # reached when listening failed: the rounds go on without it meanwhile

    def _pass_events_on(self) -> None:
        with self._core.devices.kernel.events() as events:
            while not self._stopping.is_set():
                if events.wait(ROUND_S):
                    self._changed.set()

    def _do(self, duty: Callable[..., None], *arguments: object) -> None:
        """Do one duty; that it failed must not keep the others from being done. A failure that lasts is told once."""
        failure = ""
        try:
            duty(*arguments)
        except MooringError as exc:
            failure = str(exc)
        except Exception:
            log.exception("round.broken", duty=duty.__qualname__)
        if failure and failure != self._failures.get(duty.__qualname__):
            log.error("round.failed", duty=duty.__qualname__, error=failure)
        self._failures[duty.__qualname__] = failure
