"""The daemon of a container host: ``mooring node``."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import structlog

from mooring.config.load import Loaded
from mooring.libnetwork.plugin import Plugin
from mooring.libnetwork.server import PluginServer, listen
from mooring.node.housekeeper import Housekeeper
from mooring.node.logs import configure_logging
from mooring.node.readiness import notify
from mooring.node.wiring import Core, open_core

# docker.service starts after mooring; a Neutron that is away must not keep it from starting.
_NEUTRON_PATIENCE_S = 10.0

log = structlog.get_logger(__name__)


def run(loaded: Loaded) -> None:
    """Serve this host until SIGTERM or SIGINT; calls under way are answered first."""
    settings = loaded.settings
    configure_logging(debug=settings.debug)
    for warning in loaded.warnings:
        log.warning("configuration.doubtful", warning=warning)
    with ExitStack() as stack:
        core = stack.enter_context(open_core(settings))
        core.engine.recover()
        plugin = Plugin(
            neutron=core.neutron,
            attachments=core.engine,
            host=settings.host,
            settings=settings.libnetwork,
            state_dir=settings.state_dir,
        )
        stack.enter_context(closing(plugin))
        server = PluginServer(plugin.app, listen(settings.plugin_socket))
        stack.enter_context(_running(core, plugin))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.stop())
        log.info("node.serving", socket=str(settings.plugin_socket), host=settings.host)
        server.run()
        notify("STOPPING=1")
    log.info("node.stopped")


@contextmanager
def _running(core: Core, plugin: Plugin) -> Iterator[None]:
    """Keep the daemon's own threads running beside the server."""
    housekeeper = Housekeeper(engine=core.engine, settlement=core.settlement, door_debts=plugin.pay_debts)
    housekeeper.start()
    if core.agent_duty is not None:
        core.agent_duty.start()
    threading.Thread(target=_announce, args=(core,), name="readiness", daemon=True).start()
    try:
        yield
    finally:
        if core.agent_duty is not None:
            core.agent_duty.stop()
        housekeeper.stop()


def _announce(core: Core) -> None:
    """Tell the service manager that this host serves, best when Neutron can bind ports here."""
    known = core.agent_duty is None or core.agent_duty.ready.wait(_NEUTRON_PATIENCE_S)
    notify("READY=1")
    log.info("node.ready", neutron="reported" if known else "away")
