"""Tells the service manager that the daemon lives, for as long as each of its threads does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from mooring.process.readiness import notify, watchdog_s

LONGEST_SILENCE_S: Final = 300.0
"""Of a thread that works with neighbours: longer than all of them together keep it waiting before it gets on."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Thread:
    longest_silence_s: float
    last_beat: float


class Watchdog:
    """Hears the daemon's threads, and is silent towards the service manager once one of them is for too long.

    The manager then ends the daemon and starts it anew, which finds every lease in the journal.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` tells seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._threads: dict[str, _Thread] = {}
        self._own = threading.local()
        self._told: tuple[str, ...] = ()
        self._stopping = threading.Event()
        self._reporter = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def expect(self, name: str, *, longest_silence_s: float) -> Callable[[], None]:
        """Expect the calling thread to make rounds from now on; returns what it is to call in each."""
        thread = _Thread(longest_silence_s, self._clock())
        with self._lock:
            self._threads[name] = thread
        self._own.thread = thread

        def beat() -> None:
            thread.last_beat = self._clock()

        return beat

    def progress(self) -> None:
        """Take note that the calling thread, if it is one of those expected, has got on with what it does."""
        thread: _Thread | None = getattr(self._own, "thread", None)
        if thread is not None:
            thread.last_beat = self._clock()

    def silent(self) -> tuple[str, ...]:
        """Name the threads that have been silent for too long."""
        now = self._clock()
        with self._lock:
            threads = tuple(self._threads.items())
        return tuple(name for name, thread in threads if now - thread.last_beat > thread.longest_silence_s)

    def report(self) -> None:
        """Tell the service manager that all is well, if it is; tell the log when that changes."""
        silent = self.silent()
        if not silent:
            notify("WATCHDOG=1")
        if silent == self._told:
            return
        self._told = silent
        if silent:
            log.error("threads.silent", threads=silent)
        else:
            log.info("threads.speak-again")

    def start(self) -> None:
        """Report twice in the time that the service manager waits; without one that waits, do nothing."""
        if watchdog_s() is not None:
            self._reporter.start()

    def stop(self) -> None:
        """Report no more."""
        self._stopping.set()
        if self._reporter.is_alive():
            self._reporter.join()

    def _run(self) -> None:
        patience_s = watchdog_s() or 0.0
        while not self._stopping.wait(patience_s / 2):
            self.report()
