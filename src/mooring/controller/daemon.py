"""A controller of the container service: ``mooring controller``."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import structlog

from mooring.api.app import refusal
from mooring.config.load import Loaded
from mooring.config.settings import ControllerSettings
from mooring.controller.wiring import open_core, running
from mooring.errors import InvalidConfiguration
from mooring.process.beginning import begin, on_signals_to_end
from mooring.process.metrics import DaemonMetrics
from mooring.process.readiness import notify
from mooring.process.server import Server, listen
from mooring.process.watchdog import Watchdog

_SERVER_SILENCE_S: Final = 60.0
# A command inside a container may take longer; its user asks again.
_PATIENCE_S: Final = 30.0

log = structlog.get_logger(__name__)


def run(loaded: Loaded[ControllerSettings]) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are answered first, and steps under way finished."""
    settings = loaded.settings
    begin(debug=settings.debug, warnings=loaded.warnings)
    watchdog = Watchdog()
    metrics = DaemonMetrics()
    with open_controller(settings, metrics, watchdog) as server, metrics.served(settings.metrics_address):
        watchdog.start()
        on_signals_to_end(server.stop)
        notify("READY=1")
        server.run()
        notify("STOPPING=1")
        watchdog.stop()
    log.info("controller.stopped")


@contextmanager
def open_controller(settings: ControllerSettings, metrics: DaemonMetrics, watchdog: Watchdog) -> Iterator[Server]:
    """Have a controller work for as long as the body lasts, and yield the server of its API, which is to be run."""
    host, port = settings.api_address
    with ExitStack() as stack:
        listener = stack.enter_context(_listen(host, port))
        core = stack.enter_context(open_core(settings, metrics, watchdog))
        stack.enter_context(running(core, settings, watchdog))
        beat = watchdog.expect("api", longest_silence_s=_SERVER_SILENCE_S)
        log.info("controller.serving", address=f"{host}:{port}", authentication=settings.authentication)
        # The server closes its socket itself; the listener here is for when there is none.
        yield Server(
            core.app,
            listener.dup(),
            max_body=settings.max_body_bytes,
            refusal=refusal,
            patience_s=_PATIENCE_S,
            on_round=beat,
        )


def _listen(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as exc:
        raise InvalidConfiguration(
            f"[api] host_ip = {host}, port = {port}: cannot listen there: {exc.strerror or exc}"
        ) from exc
