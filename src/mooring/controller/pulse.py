"""Tells the watchdog that this controller's end of the bus hears."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from mooring.errors import BusUnavailable
from mooring.process.watchdog import LONGEST_SILENCE_S, Watchdog

_EVERY_S: Final = 30.0


class Pulse:
    """Calls this controller over the bus from time to time; ``heard`` is to be called when that arrives.

    An end of the bus that hangs, or all of whose threads do, hears nothing. While the broker is away nobody can be
    called: that is no reason to start the controller anew.
    """

    def __init__(self, watchdog: Watchdog) -> None:
        self._watchdog = watchdog
        self._beat: Callable[[], None] = lambda: None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bus-pulse", daemon=True)
        self._call: Callable[[], None] = lambda: None

    def start(self, call: Callable[[], None]) -> None:
        """Begin; ``call`` raises BusUnavailable."""
        self._call = call
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End, and wait this long for it; a call that waits for the broker for longer ends with the process."""
        self._stopping.set()
        self._thread.join(seconds)

    def heard(self) -> None:
        """Take note that a call has arrived."""
        self._beat()

    def _run(self) -> None:
        self._beat = self._watchdog.expect("bus", longest_silence_s=LONGEST_SILENCE_S)
        while not self._stopping.wait(_EVERY_S):
            try:
                self._call()
            except BusUnavailable:
                self._beat()
