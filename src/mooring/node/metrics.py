"""What Prometheus may read of a node beside what it may of any daemon: how attaching goes, and what was found wrong."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Histogram

from mooring.attach.findings import FindingKind
from mooring.process.metrics import DaemonMetrics

# A step lasts from a write to a disk to a Neutron under load.
_STEP_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics(DaemonMetrics):
    """Keeps count of what it is told. It is an attach.observer.Observer, and may be told things in any thread."""

    def __init__(self) -> None:
        super().__init__()
        self._steps = Histogram(
            "mooring_attachment_step_seconds",
            "How long the steps of attach and detach took, by how they ended (ok, or an error's code).",
            ["verb", "step", "outcome"],
            buckets=_STEP_BUCKETS,
            registry=self.registry,
        )
        self._findings = Counter(
            "mooring_findings", "What reconciling has found wrong.", ["kind"], registry=self.registry
        )
        for kind in FindingKind:
            # One that has not occurred is 0, so that the first to occur is an increase.
            self._findings.labels(kind.value)

    def step(self, verb: str, step: str, outcome: str, seconds: float) -> None:
        """Take note of a step of ``attach`` or ``detach``; ``outcome`` is ok or an error's code."""
        self._steps.labels(verb, step, outcome).observe(seconds)

    def finding(self, kind: str) -> None:
        """Take note of something that reconciling has found for the first time."""
        self._findings.labels(kind).inc()
