"""How the service stands when Prometheus asks: its hosts, and devices that are free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

import structlog
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from mooring.controller.clock import Clock
from mooring.db.api import Host, Store
from mooring.errors import DatabaseUnavailable

_STATES: Final = ("up", "down", "disabled")

log = structlog.get_logger(__name__)


class ServiceMetrics(Collector):
    """Reads the database at each scrape; while it is away there is nothing to read."""

    def __init__(self, store: Store, *, silent_s: float, clock: Clock) -> None:
        self._store = store
        self._silent = timedelta(seconds=silent_s)
        self._clock = clock

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        try:
            return [self._hosts(), self._devices()]
        except DatabaseUnavailable as exc:
            log.warning("metrics.incomplete", error=str(exc))
            return []

    def describe(self) -> Iterable[Metric]:
        """Say nothing beforehand, so that being registered asks nobody."""
        return []

    def _hosts(self) -> Metric:
        family = GaugeMetricFamily("mooring_hosts", "Container hosts by what they are good for.", labels=["state"])
        counts = Counter(self._state(host) for host in self._store.hosts(limit=_ALL))
        for state in _STATES:
            family.add_metric([state], counts[state])
        return family

    def _state(self, host: Host) -> str:
        if host.forced_down or host.seen_at < self._clock() - self._silent:
            return "down"
        return "disabled" if host.disabled else "up"

    def _devices(self) -> Metric:
        family = GaugeMetricFamily(
            "mooring_devices",
            "Devices of all hosts: those that there are, and those of them that are free.",
            labels=["physical_network", "kind", "state"],
        )
        counts: Counter[tuple[str, str, str]] = Counter()
        for pool in self._store.pools():
            what = pool.physical_network or "", pool.kind.value
            counts[*what, "total"] += pool.total
            counts[*what, "free"] += pool.free
        for labels, count in sorted(counts.items()):
            family.add_metric(labels, count)
        return family


# No cloud has more; a scrape reads them at once.
_ALL: Final = 100_000
