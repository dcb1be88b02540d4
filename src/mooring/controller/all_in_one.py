"""A container host and a controller in one process: ``mooring all-in-one``."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import structlog

from mooring.config.load import Loaded
from mooring.config.settings import AllInOneSettings
from mooring.controller.daemon import open_controller
from mooring.node.daemon import announce, open_node
from mooring.node.metrics import Metrics
from mooring.process.beginning import begin, on_signals_to_end
from mooring.process.readiness import notify
from mooring.process.watchdog import Watchdog

log = structlog.get_logger(__name__)


def run(loaded: Loaded[AllInOneSettings]) -> None:
    """Serve until SIGTERM or SIGINT; calls under way are answered first."""
    settings = loaded.settings
    begin(debug=settings.node.debug, warnings=loaded.warnings)
    watchdog, metrics = Watchdog(), Metrics()
    with ExitStack() as stack:
        node = stack.enter_context(open_node(settings.node, metrics, watchdog))
        api = stack.enter_context(open_controller(settings.controller, metrics, watchdog))
        stack.enter_context(metrics.served(settings.node.metrics_address))
        thread = threading.Thread(target=api.run, name="api")
        thread.start()

        def end() -> None:
            api.stop()
            node.server.stop()

        on_signals_to_end(end)
        announce(node)
        node.server.run()
        notify("STOPPING=1")
        thread.join()
    log.info("all-in-one.stopped")
