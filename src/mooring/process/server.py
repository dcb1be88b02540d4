"""Carries a WSGI application on a socket, and loses no call when it is stopped."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final
from wsgiref.types import WSGIApplication

import structlog
from waitress import create_server
from waitress.channel import HTTPChannel
from waitress.task import ErrorTask, ThreadedTaskDispatcher

# More than Docker makes at once, and fewer than a process may have files open: 1024, unless it asks for more.
_CONNECTIONS: Final = 500
_ROUND_S: Final = 10.0
_GRACE_S: Final = 1.0

Refusal = Callable[[HTTPStatus, str], tuple[Mapping[str, str], bytes]]
"""Returns headers and body of the answer to what never reaches the application: no HTTP, or too large."""

log = structlog.get_logger(__name__)


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address of this machine, or on all: ``::`` is those of IPv4, too. Raises OSError."""
    family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return socket.create_server((host, port), family=family, backlog=socket.SOMAXCONN, dualstack_ipv6=host == "::")


class _Threads(ThreadedTaskDispatcher):  # type: ignore[misc]  # waitress has no types
    """Has a thread for each call: however many wait for a neighbour, one that needs none is answered at once."""

    def __init__(self) -> None:
        super().__init__()
        # It warns of each call whose thread is only just being started.
        self.queue_logger.setLevel(logging.ERROR)
        self._adding = threading.Lock()

    def add_task(self, task: object) -> None:
        with self._adding:
            with self.lock:
                needed = self.active_count + len(self.queue) + 1
                running = len(self.threads) - self.stop_count
            if needed > running:
                self.set_thread_count(needed)
            super().add_task(task)


def _refusing(refusal: Refusal) -> type[HTTPChannel]:
    """Return connections whose refusals are not waitress' own."""

    class Task(ErrorTask):  # type: ignore[misc]  # waitress has no types
        def execute(self) -> None:
            error = self.request.error
            headers, body = refusal(HTTPStatus(error.code), error.body)
            self.status = f"{error.code} {error.reason}"
            self.response_headers.extend(headers.items())
            self.set_close_on_finish()
            self.content_length = len(body)
            self.write(body)

    class Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
        error_task_class = Task

    return Channel


class Server:
    """Serves an application on a socket until it is stopped.

    What was accepted when the server stops is answered, and what was not waits in the socket for whoever serves it
    next: where somebody else holds that, too, no call can be lost in between.
    """

    def __init__(
        self,
        app: WSGIApplication,
        listener: socket.socket,
        *,
        max_body: int,
        refusal: Refusal | None = None,
        connections: int = _CONNECTIONS,
        patience_s: float = 60.0,
        on_round: Callable[[], None] = lambda: None,
    ) -> None:
        """Take over a listening socket. A body larger than ``max_body`` bytes is answered 413 unread.

        ``refusal`` says how; without it the answer is a line of text. More ``connections`` than these wait.

        ``patience_s`` (seconds) is how long ``run`` waits for the last answers when it is stopped. ``on_round`` is
        called every ten seconds at least while the server lives.
        """
        self._patience_s = patience_s
        self._on_round = on_round
        self._channels: dict[int, Any] = {}
        self._stopping = threading.Event()
        # Reentrant: the signal to stop may come in the thread that is ending just now.
        self._ending = threading.RLock()
        self._ended = False
        self._server = create_server(
            app,
            map=self._channels,
            sockets=[listener],
            connection_limit=connections,
            _dispatcher=_Threads(),
            # The first size that is not taken (waitress, HTTPRequestParser).
            max_request_body_size=max_body + 1,
        )
        if refusal is not None:
            self._server.channel_class = _refusing(refusal)

    def run(self) -> None:
        """Serve; returns after ``stop``, when the calls under way are answered or have taken too long."""
        while not self._stopping.is_set():
            self._look(_ROUND_S)
        self._drain()
        self._server.task_dispatcher.shutdown(timeout=1)
        with self._ending:
            self._ended = True
            self._server.close()
        for channel in list(self._channels.values()):
            channel.close()

    def _look(self, timeout_s: float) -> None:
        """Wait until a connection wants something, or for a while, and serve it."""
        self._on_round()
        # poll, for select knows no file descriptor above 1023
        self._server.asyncore.loop(timeout=timeout_s, use_poll=True, map=self._channels, count=1)

    def _drain(self) -> None:
        """Answer those whose connection was accepted; one that has asked nothing for a second will not any more."""
        self._server.accepting = False
        began = time.monotonic()
        while self._waiting(grace=time.monotonic() - began < _GRACE_S):
            if time.monotonic() - began > self._patience_s:
                log.warning("stop.calls-cut-off", waited_s=self._patience_s)
                return
            self._look(min(_GRACE_S, self._patience_s))

    def _waiting(self, *, grace: bool) -> bool:
        channels = self._server.active_channels.values()
        return any(grace or channel.requests or channel.request or channel.total_outbufs_len for channel in channels)

    def stop(self) -> None:
        """Make ``run`` return. May be called from any thread and from a signal handler."""
        self._stopping.set()
        with self._ending:
            # The file that wakes the server may be somebody else's once it is closed.
            if not self._ended:
                self._server.pull_trigger()
