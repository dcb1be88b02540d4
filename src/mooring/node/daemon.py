"""The daemon of a container host: ``mooring node``."""

from __future__ import annotations

import faulthandler
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import structlog

from mooring.config.load import Loaded
from mooring.config.settings import NodeSettings
from mooring.libnetwork.plugin import Plugin
from mooring.libnetwork.server import PluginServer, listen
from mooring.node.activation import passed_socket
from mooring.node.exclusive import exclusive
from mooring.node.housekeeper import Housekeeper
from mooring.node.metrics import Metrics
from mooring.node.operations import operator_routes
from mooring.node.wiring import Core, open_core
from mooring.process.logs import configure_logging
from mooring.process.readiness import notify
from mooring.process.watchdog import Watchdog

# docker.service starts after mooring; a Neutron that is away must not keep it from starting.
_NEUTRON_PATIENCE_S = 10.0
_SERVER_SILENCE_S = 60.0

log = structlog.get_logger(__name__)


def run(loaded: Loaded[NodeSettings]) -> None:
    """Serve this host until SIGTERM or SIGINT; calls under way are answered first."""
    settings = loaded.settings
    configure_logging(debug=settings.debug)
    # Ended by the watchdog, the daemon says where each of its threads hung.
    faulthandler.enable()
    for warning in loaded.warnings:
        log.warning("configuration.doubtful", warning=warning)
    watchdog = Watchdog()
    with ExitStack() as stack:
        stack.enter_context(exclusive(settings.state_dir))
        listener = passed_socket(settings.plugin_socket) or listen(settings.plugin_socket)
        metrics = Metrics()
        core = stack.enter_context(open_core(settings, metrics, on_progress=watchdog.progress))
        core.reconciler.recover()
        plugin = Plugin(
            neutron=core.neutron,
            attachments=core.engine,
            host=settings.host,
            settings=settings.libnetwork,
            state_dir=settings.state_dir,
            more_routes=operator_routes(core),
        )
        stack.enter_context(closing(plugin))
        beat = watchdog.expect("server", longest_silence_s=_SERVER_SILENCE_S)
        server = PluginServer(plugin.app, listener, on_round=beat)
        stack.enter_context(_running(core, plugin, watchdog))
        stack.enter_context(metrics.served(settings.metrics_address))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.stop())
        threading.Thread(target=_announce, args=(core,), name="readiness", daemon=True).start()
        log.info("node.serving", socket=str(settings.plugin_socket), host=settings.host)
        server.run()
        notify("STOPPING=1")
    log.info("node.stopped")


@contextmanager
def _running(core: Core, plugin: Plugin, watchdog: Watchdog) -> Iterator[None]:
    """Keep the daemon's own threads running beside the server."""
    housekeeper = Housekeeper(core, door_debts=plugin.pay_debts, watchdog=watchdog)
    housekeeper.start()
    core.listen()
    watchdog.start()
    if core.agent_duty is not None:
        core.agent_duty.start()
    try:
        yield
    finally:
        watchdog.stop()
        if core.agent_duty is not None:
            core.agent_duty.stop()
        housekeeper.stop()


def _announce(core: Core) -> None:
    """Tell the service manager that this host serves, best when Neutron can bind ports here."""
    known = core.agent_duty is None or core.agent_duty.ready.wait(_NEUTRON_PATIENCE_S)
    notify("READY=1")
    log.info("node.ready", neutron="reported" if known else "away")
