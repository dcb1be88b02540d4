"""Hears what Neutron's server tells all agents, over oslo.messaging."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import structlog

from mooring.neutron.api import PortNews
from mooring.neutron.messaging import EXCHANGE, library, open_transport
from mooring.neutron.news import METHODS, NewsEndpoint

_RETRY_SECONDS: Final = 5.0
_VERSION: Final = "1.99"
"""All calls of version 1 are understood, as of each only the subject's id is read; Neutron 29 is at 1.5."""

log = structlog.get_logger(__name__)


class NewsListener:
    """One subscription, in a thread of its own: connecting waits for an absent broker without limit.

    When the connection is lost oslo.messaging connects again by itself, for as long as it takes.
    """

    def __init__(self, transport_url: str, host: str, on_change: Callable[[PortNews], None]) -> None:
        self._transport_url = transport_url
        self._host = host
        self._endpoint = NewsEndpoint(on_change)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="neutron-news", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End, and wait this long for it. A thread that is left behind holds no program up."""
        self._stopping.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except Exception as exc:  # noqa: BLE001 - whatever the libraries raise, news is wanted again
                log.warning("neutron.news-interrupted", host=self._host, error=f"{type(exc).__name__}: {exc}")
                self._stopping.wait(_RETRY_SECONDS)

    def _listen(self) -> None:
        messaging = library()
        self._endpoint.target = messaging.Target(version=_VERSION)
        with ExitStack() as open_things:
            transport = open_transport(self._transport_url)
            open_things.callback(transport.cleanup)
            for method in METHODS:
                topic = f"q-agent-notifier-{method.replace('_', '-')}"
                target = messaging.Target(exchange=EXCHANGE, topic=topic, server=self._host, fanout=True)
                server = messaging.get_rpc_server(transport, target, [self._endpoint])
                # One worker: news is told in the order in which it came.
                server.start(override_pool_size=1)
                open_things.callback(server.stop)
            log.info("neutron.news-heard", host=self._host)
            self._stopping.wait()
