"""Tells the service manager how the daemon is doing (systemd's sd_notify(3) protocol)."""

from __future__ import annotations

import os
import socket
from typing import Final

_MICROSECONDS: Final = 1_000_000


def notify(state: str) -> None:
    """Send a state such as ``READY=1`` to the socket that NOTIFY_SOCKET names; without one, do nothing."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    # An address that begins with @ is in Linux's abstract namespace (unix(7)).
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.sendto(state.encode(), address)


def watchdog_s() -> float | None:
    """Return after how many seconds of silence the service manager restarts us (sd_watchdog_enabled(3)), or None."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = int(os.environ.get("WATCHDOG_USEC") or 0)
    return microseconds / _MICROSECONDS if microseconds > 0 else None
