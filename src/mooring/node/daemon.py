"""The daemon of a container host: ``mooring node``."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

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
from mooring.process.beginning import begin, on_signals_to_end
from mooring.process.readiness import notify
from mooring.process.watchdog import Watchdog

# docker.service starts after mooring; a Neutron that is away must not keep it from starting.
_NEUTRON_PATIENCE_S = 10.0
_SERVER_SILENCE_S = 60.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node at work: the server that Docker calls, which is to be run, and what it serves."""

    core: Core
    server: PluginServer


def run(loaded: Loaded[NodeSettings]) -> None:
    """Serve this host until SIGTERM or SIGINT; calls under way are answered first."""
    settings = loaded.settings
    begin(debug=settings.debug, warnings=loaded.warnings)
    metrics = Metrics()
    with open_node(settings, metrics, Watchdog()) as node, metrics.served(settings.metrics_address):
        on_signals_to_end(node.server.stop)
        announce(node)
        node.server.run()
        notify("STOPPING=1")
    log.info("node.stopped")


@contextmanager
def open_node(settings: NodeSettings, metrics: Metrics, watchdog: Watchdog) -> Iterator[Node]:
    """Have this host's node work for as long as the body lasts. Raises InvalidConfiguration when another one does."""
    with ExitStack() as stack:
        stack.enter_context(exclusive(settings.state_dir))
        listener = passed_socket(settings.plugin_socket) or listen(settings.plugin_socket)
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
        if settings.service is not None:
            # What only hosts of a service need is not loaded by the others.
            from mooring.node.containers.wiring import open_agent  # noqa: PLC0415

            stack.enter_context(open_agent(settings, settings.service, core, plugin.bound_ports))
        log.info("node.serving", socket=str(settings.plugin_socket), host=settings.host)
        yield Node(core=core, server=server)


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


def announce(node: Node) -> None:
    """Tell the service manager that this host serves, best when Neutron can bind ports here; returns at once."""
    threading.Thread(target=_announce, args=(node.core,), name="readiness", daemon=True).start()


def _announce(core: Core) -> None:
    known = core.agent_duty is None or core.agent_duty.ready.wait(_NEUTRON_PATIENCE_S)
    notify("READY=1")
    log.info("node.ready", neutron="reported" if known else "away")
