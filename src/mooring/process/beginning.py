"""How every daemon's process begins, and how it is told to end."""

from __future__ import annotations

import faulthandler
import signal
from collections.abc import Callable, Iterable

import structlog

from mooring.process.logs import configure_logging

log = structlog.get_logger(__name__)


def begin(*, debug: bool, warnings: Iterable[str]) -> None:
    """Log from now on; ``warnings`` are what the operator should hear of the configuration."""
    configure_logging(debug=debug)
    # Ended by the watchdog, the daemon says where each of its threads hung.
    faulthandler.enable()
    for warning in warnings:
        log.warning("configuration.doubtful", warning=warning)


def on_signals_to_end(end: Callable[[], None]) -> None:
    """Call ``end`` when the service manager, or a person at the keyboard, wants the process to end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end())
