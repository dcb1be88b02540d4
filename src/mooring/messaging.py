"""oslo.messaging, loaded late and without what it does not need: the one place that does."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any, Final, Protocol

import structlog

_RETRY_SECONDS: Final = 5.0

_loading: Final = threading.Lock()

log = structlog.get_logger(__name__)


def library() -> Any:  # noqa: ANN401 - oslo.messaging has no types
    """Return the module oslo_messaging; the first call takes a good part of a second."""
    with _loading:
        return sys.modules.get("oslo_messaging") or _load()


def open_transport(transport_url: str) -> Any:  # noqa: ANN401 - oslo.messaging has no types
    """Return a transport, not connected yet. Raises what oslo.messaging does for a URL that it does not understand."""
    messaging = library()
    from oslo_config import cfg  # noqa: PLC0415

    with _loading:
        # The global CONF and no other: oslo.messaging looks its tracing options up there.
        cfg.CONF([], project="mooring", default_config_files=[], default_config_dirs=[])
        transport = messaging.get_rpc_transport(cfg.CONF, url=transport_url)
        # Half a minute between tries, the default, would be half a minute in which ports of a revived cloud stay DOWN.
        if "oslo_messaging_rabbit" in cfg.CONF:
            cfg.CONF.set_override("rabbit_interval_max", 5, "oslo_messaging_rabbit")
    return transport


class Endpoint(Protocol):
    """What answers: its methods by their names. ``target`` is oslo.messaging's, to be set by who listens with it."""

    target: Any


class Listener:
    """Serves what is sent to some targets, in a thread of its own: connecting waits for an absent broker without limit.

    When the connection is lost oslo.messaging connects again by itself, for as long as it takes.
    """

    def __init__(
        self,
        transport_url: str,
        targets: Iterable[Mapping[str, object]],
        endpoint: Endpoint,
        *,
        name: str,
        version: str,
        workers: int,
    ) -> None:
        """Listen to ``targets`` (oslo.messaging's own words) and hand what comes to methods of ``endpoint``.

        ``version`` is of the newest calls that are understood. One worker does things in the order in which they came.
        """
        self._transport_url = transport_url
        self._targets = tuple(targets)
        self._endpoint = endpoint
        self._name = name
        self._version = version
        self._workers = workers
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

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
            except Exception as exc:  # noqa: BLE001 - whatever the libraries raise, we want to hear again
                log.warning("bus.interrupted", listener=self._name, error=f"{type(exc).__name__}: {exc}")
                self._stopping.wait(_RETRY_SECONDS)

    def _listen(self) -> None:
        messaging = library()
        self._endpoint.target = messaging.Target(version=self._version)
        with ExitStack() as open_things:
            transport = open_transport(self._transport_url)
            open_things.callback(transport.cleanup)
            servers: list[Any] = []
            open_things.callback(_end, servers)
            for target in self._targets:
                server = messaging.get_rpc_server(transport, messaging.Target(**target), [self._endpoint])
                server.start(override_pool_size=self._workers)
                servers.append(server)
            log.info("bus.heard", listener=self._name)
            self._stopping.wait()


def _end(servers: Iterable[Any]) -> None:
    """End servers. Until one has been waited for, it takes messages from whoever listens in its place."""
    for server in servers:
        server.stop()
    for server in servers:
        server.wait()


def _load() -> Any:  # noqa: ANN401 - oslo.messaging has no types
    """Load oslo.messaging as where eventlet is not installed, which saves 9 MB that nothing here would use.

    oslo.service would load it but for its threading backend. oslo.messaging and oslo.utils only try to, and understand
    None in sys.modules, which is how Python says that there is no such module; it is said for the moment of loading.
    """
    with warnings.catch_warnings():
        # That oslo.utils will drop its support of eventlet is no news for us.
        warnings.simplefilter("ignore")
        sys.modules.setdefault("eventlet", None)  # type: ignore[arg-type]
        try:
            from oslo_service.backend import BackendType, init_backend  # noqa: PLC0415

            init_backend(BackendType.THREADING)
            import oslo_messaging  # noqa: PLC0415
        finally:
            if sys.modules.get("eventlet") is None:
                sys.modules.pop("eventlet")
    # Each connection tells each of its tries, every few seconds; who waits for an answer tells once that there is none.
    logging.getLogger("oslo.messaging._drivers.impl_rabbit").setLevel(logging.CRITICAL)
    return oslo_messaging
