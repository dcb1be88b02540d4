"""Changes of interfaces and PCI devices, as the kernel announces them: rtnetlink's link events and its uevents.

Both are needed: a VF that gets or loses a driver without an interface tells no link event, and a link that goes down
no uevent.
"""

from __future__ import annotations

import errno
import math
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_LINKS, _UEVENTS = 0, 15  # NETLINK_ROUTE, NETLINK_KOBJECT_UEVENT
_FROM_KERNEL = 1  # RTMGRP_LINK of one; of the other, the group that is not udev's (Linux lib/kobject_uevent.c)
_SUBSYSTEMS = (b"SUBSYSTEM=pci", b"SUBSYSTEM=net")
_LARGEST = 1 << 16


class LinuxEvents:
    """HostEvents, from two sockets."""

    def __init__(self, links: socket.socket, uevents: socket.socket) -> None:
        self._links, self._uevents = links, uevents
        self._ready = select.poll()
        for sock in (links, uevents):
            self._ready.register(sock, select.POLLIN)

    def wait(self, seconds: float) -> bool:
        """Return True after a change, False when ``seconds`` pass without one."""
        deadline = time.monotonic() + seconds
        while self._ready.poll(max(math.ceil((deadline - time.monotonic()) * 1000), 0)):
            links = [True for _ in _pending(self._links)]
            uevents = [message is None or concerns_a_device(message) for message in _pending(self._uevents)]
            if links or any(uevents):
                return True
        return False


@contextmanager
def host_events() -> Iterator[LinuxEvents]:
    """Listen from now on, so that nothing that follows is missed.

    Links are those of the daemon's namespace. A PCI device's uevents come to every namespace, an interface's to the
    one that it is in.
    """
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, family))
            for family in (_LINKS, _UEVENTS)
        ]
        for sock in sockets:
            sock.bind((0, _FROM_KERNEL))
        yield LinuxEvents(*sockets)


def _pending(sock: socket.socket) -> Iterator[bytes | None]:
    """Drain the socket; None stands for those that it could not hold."""
    while True:
        try:
            yield sock.recv(_LARGEST)
        except BlockingIOError:
            return
        except OSError as exc:
            if exc.errno != errno.ENOBUFS:
                raise
            yield None


def concerns_a_device(uevent: bytes) -> bool:
    """Tell whether it is about an interface or a PCI device: ``ACTION@DEVPATH``, then ``KEY=VALUE``, ended by NULs."""
    return any(line in _SUBSYSTEMS for line in uevent.split(b"\0"))
