"""Threads that do what is due, at once when they are woken and from time to time in any case."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from mooring.errors import MooringError
from mooring.process.watchdog import LONGEST_SILENCE_S, Watchdog

_IDLE_S: Final = 2.0
_ROUND_S: Final = 30.0
_PAUSE_S: Final = 1.0

log = structlog.get_logger(__name__)


class Work(Protocol):
    """Something that there may be more of."""

    def work(self) -> bool:
        """Do some; tell whether there was any."""
        ...


class Workers:
    """Threads of one controller: ``count`` for containers, and one that makes rounds.

    ``wake`` may be called by anybody who has written something that is due, and never blocks. What another controller
    has written is seen within two seconds. Nothing that goes wrong ends a thread, and the watchdog hears of each that
    hangs. Whoever calls ``progress`` of it in such a thread says that a long duty gets on.
    """

    def __init__(self, *, worker: Work, rounds: Callable[[], None], count: int, watchdog: Watchdog) -> None:
        self._worker = worker
        self._rounds = rounds
        self._watchdog = watchdog
        self._stopping = threading.Event()
        self._wakened = threading.Event()
        self._failure = ""
        self._threads = [
            threading.Thread(target=self._run, name=f"worker-{number}", daemon=True) for number in range(count)
        ]
        self._threads.append(threading.Thread(target=self._make_rounds, name="rounds", daemon=True))

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Let the workers look for what is due now."""
        self._wakened.set()

    def stop(self) -> None:
        """Finish what is being done, and return when that is so."""
        self._stopping.set()
        self._wakened.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        beat = self._expected()
        while not self._stopping.is_set():
            beat()
            if not self._do(self._worker.work) and self._wakened.wait(_IDLE_S) and not self._stopping.is_set():
                self._wakened.clear()

    def _make_rounds(self) -> None:
        beat = self._expected()
        while not self._stopping.is_set():
            beat()
            self._do(self._rounds)
            self._stopping.wait(_ROUND_S)

    def _expected(self) -> Callable[[], None]:
        return self._watchdog.expect(threading.current_thread().name, longest_silence_s=LONGEST_SILENCE_S)

    def _do(self, duty: Callable[[], bool | None]) -> bool:
        """Do a duty and tell whether there may be more. A failure makes a pause; one that lasts is told once."""
        failure = ""
        try:
            return bool(duty())
        except MooringError as exc:
            failure = str(exc)
            if failure != self._failure:
                log.error("controller.failed", error=failure)  # the database is away, most likely
        except Exception:
            log.exception("controller.broken")
        finally:
            self._failure = failure
        self._stopping.wait(_PAUSE_S)
        return False
