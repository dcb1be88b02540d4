"""How the host stands when Prometheus asks: its VFs, leases and debts, and what the cards have counted."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Final

import structlog
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from mooring.attach.findings import FindingKind
from mooring.attach.pool import VfState, VfStatus
from mooring.attach.types import Lease, LeaseStep
from mooring.errors import EdgeFailure, MooringError
from mooring.host.kernel import VfCounters
from mooring.pci.address import PciAddress
from mooring.pci.device import PhysicalFunction

_COUNTERS: Final[Mapping[str, str]] = {
    "rx_bytes": "receive_bytes",
    "tx_bytes": "transmit_bytes",
    "rx_packets": "receive_packets",
    "tx_packets": "transmit_packets",
    "rx_dropped": "receive_dropped",
    "tx_dropped": "transmit_dropped",
    "multicast": "receive_multicast",
    "broadcast": "receive_broadcast",
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostViews:
    """Where the host's state is read, one function for each part of it; ``findings`` counts the standing ones."""

    vfs: Callable[[], Iterable[VfStatus]]
    leases: Callable[[], Iterable[Lease]]
    debts: Callable[[], Collection[object]]
    quarantined: Callable[[], Collection[object]]
    findings: Callable[[], Mapping[str, int]]
    counters: Callable[[PhysicalFunction], Mapping[int, VfCounters]]


class HostMetrics(Collector):
    """Reads the host at each scrape, one scrape at a time.

    While a card keeps one waiting, the others are answered with what was read last. What cannot be read is left out.
    """

    def __init__(self, views: HostViews) -> None:
        self._views = views
        self._reading = threading.Lock()
        self._last: tuple[Metric, ...] = ()
        self._failures: dict[str, str] = {}

    def collect(self) -> Iterator[Metric]:
        """Yield the families of metrics."""
        if self._reading.acquire(blocking=False):
            try:
                self._last = tuple(self._read())
            finally:
                self._reading.release()
        yield from self._last

    def _read(self) -> Iterator[Metric]:
        for read in (self._vfs, self._leases, self._debts, self._quarantined, self._findings):
            problem = ""
            try:
                yield from read()
            except MooringError as exc:
                problem = str(exc)
            if problem and problem != self._failures.get(read.__name__):
                log.warning("metrics.not-read", which=read.__name__.strip("_"), error=problem)
            self._failures[read.__name__] = problem

    def _vfs(self) -> list[Metric]:
        statuses = tuple(self._views.vfs())
        states = GaugeMetricFamily(
            "mooring_vfs", "VFs that may serve ports, by state.", labels=["pf", "physical_network", "state"]
        )
        numbers = Counter((str(s.pooled.pf.address), s.pooled.physical_network, s.state) for s in statuses)
        for pf, network in sorted({(pf, network) for pf, network, _ in numbers}):
            for state in VfState:
                states.add_metric([pf, network, state.value], numbers[pf, network, state])
        return [states, *self._traffic(statuses)]

    def _traffic(self, statuses: tuple[VfStatus, ...]) -> Iterator[Metric]:
        """Yield what the cards count that do; ``port`` is empty while no lease holds the VF."""
        counted: dict[PciAddress, Mapping[int, VfCounters]] = {}
        for status in statuses:
            pf = status.pooled.pf
            if pf.address not in counted:
                counted[pf.address] = {}
                # A card that cannot be read is told of by the state of its VFs.
                with suppress(EdgeFailure):
                    counted[pf.address] = self._views.counters(pf)
        for field in fields(VfCounters):
            name = _COUNTERS[field.name]
            family = CounterMetricFamily(
                f"mooring_vf_{name}", f"What the PF has counted for a VF: {field.name}.", labels=["pf", "vf", "port"]
            )
            for status in statuses:
                pf, vf = status.pooled.pf, status.pooled.vf
                if (counters := counted[pf.address].get(vf.index)) is not None:
                    port = status.lease.port.id if status.lease else ""
                    family.add_metric([str(pf.address), str(vf.address), port], getattr(counters, field.name))
            yield family

    def _leases(self) -> list[Metric]:
        steps = Counter(lease.step for lease in self._views.leases())
        family = GaugeMetricFamily("mooring_leases", "Attachments of this host, by step.", labels=["step"])
        for step in LeaseStep:
            family.add_metric([step.value], steps[step])
        return [family]

    def _debts(self) -> list[Metric]:
        owed = len(self._views.debts())
        return [GaugeMetricFamily("mooring_debts", "Ports that Neutron has yet to be told are free.", value=owed)]

    def _quarantined(self) -> list[Metric]:
        number = len(self._views.quarantined())
        return [GaugeMetricFamily("mooring_quarantined_vfs", "VFs that did not come clean.", value=number)]

    def _findings(self) -> list[Metric]:
        standing = self._views.findings()
        family = GaugeMetricFamily(
            "mooring_standing_findings", "What reconciling finds wrong at present.", labels=["kind"]
        )
        for kind in FindingKind:
            family.add_metric([kind.value], standing.get(kind.value, 0))
        return [family]
