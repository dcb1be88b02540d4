"""The one place where a controller's core meets database, bus and Neutron."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Final
from wsgiref.types import WSGIApplication

import structlog

from mooring.api.app import create_app
from mooring.config.session import neutron_session
from mooring.config.settings import ControllerSettings
from mooring.controller.clock import utc_now
from mooring.controller.inside import ContainerInside
from mooring.controller.lifecycle import ContainerLifecycle
from mooring.controller.metrics import ServiceMetrics
from mooring.controller.pulse import Pulse
from mooring.controller.reports import NodeReports
from mooring.controller.rounds import Rounds
from mooring.controller.scheduler.scheduler import Scheduler
from mooring.controller.worker import Worker
from mooring.controller.workers import Workers
from mooring.db.store import SqlStore
from mooring.neutron.rest import NeutronGateway
from mooring.process.metrics import DaemonMetrics
from mooring.process.watchdog import Watchdog
from mooring.rpc.bus import NodesClient, serve_controller

_CLOSE_S: Final = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """All that a controller's doors need: the API's application, what nodes ask, and the threads that do the work."""

    app: WSGIApplication
    reports: NodeReports
    workers: Workers


@contextmanager
def open_core(settings: ControllerSettings, metrics: DaemonMetrics, watchdog: Watchdog) -> Iterator[Core]:
    """Open the core of a controller; nothing is done yet.

    Raises InvalidConfiguration for what is wrong with the settings, and DatabaseUnavailable for a SQLite file that
    cannot be used.
    """
    with ExitStack() as stack:
        store = stack.enter_context(closing(SqlStore(settings.database_url)))
        nodes = stack.enter_context(closing(NodesClient(settings.transport_url)))
        neutron = NeutronGateway(
            neutron_session(settings.neutron),
            read_timeout=settings.neutron.timeout_s,
            on_call=_noting(metrics, watchdog),
        )
        scheduler = Scheduler(store, settings.scheduler, aliases=settings.aliases, silent_s=settings.silent_s)
        workers = Workers(
            worker=Worker(store=store, neutron=neutron, nodes=nodes, scheduler=scheduler),
            rounds=Rounds(store=store, neutron=neutron, silent_s=settings.silent_s).make,
            count=settings.workers,
            watchdog=watchdog,
        )
        app = create_app(
            lifecycle=ContainerLifecycle(store=store, neutron=neutron, settings=settings, wake=workers.wake),
            inside=ContainerInside(store=store, nodes=nodes),
            store=store,
            settings=settings,
            clock=utc_now,
        )
        metrics.register(ServiceMetrics(store, silent_s=settings.silent_s, clock=utc_now))
        yield Core(app=app, reports=NodeReports(store=store, wake=workers.wake), workers=workers)


@contextmanager
def running(core: Core, settings: ControllerSettings, watchdog: Watchdog) -> Iterator[None]:
    """Hear nodes and do what is due, for as long as the body lasts; what is being done is finished afterwards."""
    pulse = Pulse(watchdog)
    server = serve_controller(settings.transport_url, core.reports, on_heard=pulse.heard)
    pulse.start(server.call_itself)
    core.workers.start()
    try:
        yield
    finally:
        pulse.stop(_CLOSE_S)
        server.stop(_CLOSE_S)
        core.workers.stop()


def _noting(metrics: DaemonMetrics, watchdog: Watchdog) -> Callable[[str, str, float], None]:
    def note_call(operation: str, outcome: str, seconds: float) -> None:
        log.debug("neutron.call", operation=operation, outcome=outcome, ms=round(seconds * 1000))
        metrics.neutron_call(operation, outcome, seconds)
        watchdog.progress()

    return note_call
