"""Requests to rtnetlink, with pyroute2's sockets and messages.

Its IPRSocket, not its IPRoute: that keeps an event loop for each thread, and to open one for each request would cost
more than the requests. An IPRSocket works in any thread, and is kept for the next request. It leaves to its user to
await the answer; that, and an answer of any size (IPRSocket.get stops at 16 KiB, 80 VFs), is what is ours here.
"""

from __future__ import annotations

import atexit
import socket
import struct
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyroute2.netlink import NLM_F_MULTI, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR
from pyroute2.netlink.rtnl.iprsocket import IPRSocket

from mooring.host.failures import NetlinkError

Message = Any
"""A message of netlink's; pyroute2 has no types."""

_HEADER = struct.Struct("=IH")  # nlmsghdr: length and kind
_idle: deque[Any] = deque()


def request(kind: int, message: Message, flags: int = 0) -> list[Message]:
    """Send one message and return the answers; raise NetlinkError with the kernel's errno.

    ``flags`` say what answers: one object (0), all objects that match (NLM_F_DUMP), or none (NLM_F_ACK).
    """
    answers: list[Message] = []
    with _lend() as sock:
        sock.put(message, kind, NLM_F_REQUEST | flags)
        while not answers or _more_follow(answers[-1]):
            answers += sock.get()
    if answers[-1]["header"]["type"] in {NLMSG_ERROR, NLMSG_DONE}:
        _raise_refusal(answers.pop())
    return answers


def request_undecoded(encoded: bytes) -> bytes:
    """Send one encoded message that one object answers, and return that as it came, however large it is."""
    with _lend() as sock:
        sock.send(encoded)
        size = sock.socket.recv_into(bytearray(1), 1, socket.MSG_PEEK | socket.MSG_TRUNC)
        answer: bytes = sock.recv(size)
        refused = list(sock.marshal.parse(answer)) if _HEADER.unpack_from(answer)[1] == NLMSG_ERROR else []
    for refusal in refused:
        _raise_refusal(refusal)
    return answer


def _more_follow(answer: Message) -> bool:
    return bool(answer["header"]["flags"] & NLM_F_MULTI) and answer["header"]["type"] != NLMSG_DONE


@contextmanager
def _lend() -> Iterator[Any]:
    """Lend a socket that nobody else uses meanwhile; there are as many as threads have ever asked at one time."""
    try:
        sock = _idle.pop()
    except IndexError:
        sock = IPRSocket(ext_ack=True, strict_check=True)
    try:
        yield sock
    except BaseException:
        sock.close()  # or its late answer would be taken for the next one's
        raise
    _idle.append(sock)


@atexit.register
def _close_idle() -> None:
    while _idle:
        _idle.pop().close()


def _raise_refusal(message: Message) -> None:
    if message["header"]["type"] == NLMSG_ERROR and message["error"]:
        raise NetlinkError(-message["error"], message.get_attr("NLMSGERR_ATTR_MSG") or "")
