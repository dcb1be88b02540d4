"""What Prometheus may read of any daemon: which mooring it is, what it costs, and what Neutron answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, Info, disable_created_metrics, make_wsgi_app
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

import mooring
from mooring.process.server import Server, listen

# Of the files that a process may have open, few are for this.
_SCRAPERS: Final = 20
_PATIENCE_S: Final = 1.0
_CALL_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

# Twice as many series would say when each counter was made.
disable_created_metrics()  # type: ignore[no-untyped-call]

log = structlog.get_logger(__name__)


class DaemonMetrics:
    """Keeps count of what it is told, in any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        Info("mooring_build", "Which mooring this is.", registry=self.registry).info({"version": mooring.__version__})
        ProcessCollector(registry=self.registry)
        self._calls = Counter(
            "mooring_neutron_calls",
            "Calls of Neutron, by how they ended.",
            ["operation", "outcome"],
            registry=self.registry,
        )
        self._call_seconds = Histogram(
            "mooring_neutron_call_seconds",
            "How long calls of Neutron took.",
            ["operation"],
            buckets=_CALL_BUCKETS,
            registry=self.registry,
        )

    def neutron_call(self, operation: str, outcome: str, seconds: float) -> None:
        """Take note of a call of Neutron."""
        self._calls.labels(operation, outcome).inc()
        self._call_seconds.labels(operation).observe(seconds)

    def register(self, collector: Collector) -> None:
        """Have a collector asked at every scrape."""
        self.registry.register(collector)

    @contextmanager
    def served(self, address: tuple[str, int] | None) -> Iterator[None]:
        """Answer Prometheus for as long as the body runs, each scrape in a thread of its own; with None, nobody.

        An address that is not to be had is told in the log: the daemon serves all the same.
        """
        if address is None:
            yield
            return
        host, port = address
        try:
            listener = listen(host, port)
        except OSError as exc:
            log.warning("metrics.not-served", address=f"{host}:{port}", error=exc.strerror or str(exc))
            yield
            return
        # prometheus_client's own server looks up twice a second whether it is to stop.
        server = Server(
            make_wsgi_app(self.registry), listener, max_body=0, connections=_SCRAPERS, patience_s=_PATIENCE_S
        )
        thread = threading.Thread(target=server.run, name="metrics")
        thread.start()
        try:
            yield
        finally:
            server.stop()
            thread.join()
