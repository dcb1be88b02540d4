"""The rtnetlink wire (RFC 3549, Linux include/uapi/linux/netlink.h): attributes, requests, link events.

Every request has a socket of its own. That costs some ten microseconds, and nothing is shared between threads,
left open, or mixed up with a late reply.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from mooring.host.failures import NetlinkError

_SOL_NETLINK, _CAP_ACK, _EXT_ACK, _STRICT_CHECK = 270, 10, 11, 12
_REQUEST, _ACK, _DUMP, _DUMP_INTERRUPTED, _ACK_HAS_ATTRIBUTES = 0x1, 0x4, 0x300, 0x10, 0x200
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_ERROR_MESSAGE = 1  # NLMSGERR_ATTR_MSG
_KIND_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_LINK_GROUP = 1  # RTMGRP_LINK

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR = struct.Struct("=i")
_DUMP_ATTEMPTS = 5


def attribute(kind: int, payload: bytes) -> bytes:
    """Encode one attribute, padded to four bytes."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(payload), kind) + payload + bytes(-len(payload) % 4)


def attributes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int, int]]:
    """Walk the attributes of ``data[start:end]``: kind, and where the payload begins and ends.

    Offsets instead of slices: a card may have hundreds of VFs with a dozen attributes each.
    """
    end = len(data) if end is None else end
    while start + _ATTRIBUTE.size <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        yield kind & _KIND_MASK, start + _ATTRIBUTE.size, start + length
        if length < _ATTRIBUTE.size:
            return
        start += length + 3 & ~3


def text(data: bytes, start: int, end: int) -> str:
    """Decode a NUL-terminated string."""
    return data[start:end].rstrip(b"\0").decode(errors="replace")


def request(kind: int, payload: bytes) -> list[bytes]:
    """Send one request and return the bodies of its replies; raise NetlinkError with the kernel's errno."""
    return _exchange(kind, payload, _REQUEST | _ACK)


def dump(kind: int, payload: bytes) -> list[bytes]:
    """Return all objects that match; ask again when they changed while the kernel listed them."""
    for _ in range(_DUMP_ATTEMPTS):
        try:
            return _exchange(kind, payload, _REQUEST | _DUMP)
        except InterruptedError:
            continue
    raise NetlinkError(errno.EAGAIN, "the list kept changing while it was read")


def _exchange(kind: int, payload: bytes, flags: int) -> list[bytes]:
    bodies: list[bytes] = []
    interrupted = False
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as sock:
        for option in (_CAP_ACK, _EXT_ACK, _STRICT_CHECK):
            sock.setsockopt(_SOL_NETLINK, option, 1)
        sock.sendto(_HEADER.pack(_HEADER.size + len(payload), kind, flags, 1, 0) + payload, (0, 0))
        while True:
            for reply, reply_flags, body in _messages(_receive(sock)):
                interrupted |= bool(reply_flags & _DUMP_INTERRUPTED)
                if reply in {_NLMSG_ERROR, _NLMSG_DONE}:
                    _raise_refusal(body, reply_flags, reply)
                    if interrupted:
                        raise InterruptedError
                    return bodies
                bodies.append(body)


def _receive(sock: socket.socket) -> bytes:
    """Receive one datagram, however large: the reply for a card with hundreds of VFs has tens of kilobytes."""
    size = sock.recv_into(bytearray(1), 1, socket.MSG_PEEK | socket.MSG_TRUNC)
    return sock.recv(size)


def _messages(datagram: bytes) -> Iterator[tuple[int, int, bytes]]:
    start = 0
    while start + _HEADER.size <= len(datagram):
        length, kind, flags, _, _ = _HEADER.unpack_from(datagram, start)
        yield kind, flags, datagram[start + _HEADER.size : start + length]
        start += max(length + 3 & ~3, _HEADER.size)


def _raise_refusal(body: bytes, flags: int, reply: int) -> None:
    (code,) = _ERROR.unpack_from(body)
    if code == 0:
        return
    reason = ""
    if flags & _ACK_HAS_ATTRIBUTES:
        # An error repeats the header of the request before its attributes; the end of a dump does not.
        start = _ERROR.size + (_HEADER.size if reply == _NLMSG_ERROR else 0)
        for kind, begin, end in attributes(body, start):
            if kind == _ERROR_MESSAGE:
                reason = text(body, begin, end)
    raise NetlinkError(-code, reason)


class LinkEvents:
    """A wake-up at every change of any interface in the daemon's namespace."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def wait(self, seconds: float) -> None:
        """Return after the next change, or after ``seconds``. What changed is for the caller to look up."""
        if not select.select([self._socket], [], [], max(seconds, 0))[0]:
            return
        while True:
            try:
                self._socket.recv(1 << 16, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as exc:
                if exc.errno != errno.ENOBUFS:  # more events than the socket holds: one wake-up serves for all
                    raise


@contextmanager
def link_events() -> Iterator[LinkEvents]:
    """Listen from now on, so that nothing that follows is missed."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, _LINK_GROUP))
        yield LinkEvents(sock)
