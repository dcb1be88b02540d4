"""python -m bench.schedule: what placing and claiming costs in clusters of 100 to 10,000 hosts with 64 VFs each.

Starts a PostgreSQL of its own on this machine, as durable as it comes; the clients, each as a controller is, run beside
it. Nova's check of the same hosts (build/nova) is timed in the same run. Needs root. Prints a table and writes
build/bench/schedule.json. A budget that is not held is no failure; a device that is had twice is.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from statistics import median, quantiles

from rich.console import Console

from bench.report import Figure, Report
from bench.schedule_client import Outcome, add_containers, place_added
from bench.schedule_inventory import claimed, fill, leave_free
from lab.databases import postgresql
from lab.errors import LabError
from lab.progress import Progress
from lab.state import PROJECT
from mooring.container.model import Container
from mooring.db.migrations import upgrade
from mooring.db.store import SqlStore

SIZES, CLIENTS = (100, 1_000, 10_000), (1, 2, 4, 8, 16)
ALONE, TOGETHER, WARM_UP, LAST_FREE = 200, 320, 8, 100
BUDGET_MS, BUDGET_PER_S = 5.0, 500.0
NOVA = PROJECT / "build" / "nova" / "bin" / "python"


@dataclass(slots=True, kw_only=True)
class Cluster:
    """A cluster in a database, and the clients that place containers there; ``taken`` is what they got so far."""

    url: str
    hosts: int
    clients: ProcessPoolExecutor
    taken: list[int]

    def place(self, count: int, *, clients: int) -> tuple[float, list[Outcome]]:
        """Have clients place containers at the same time; return the seconds that it took them, and what each did."""
        shares = [count // clients] * clients
        written: list[Sequence[Container]] = list(self.clients.map(partial(add_containers, self.url), shares))
        began = time.monotonic()
        outcomes = list(self.clients.map(partial(place_added, self.url), written))
        took = time.monotonic() - began
        self.taken += [device for outcome in outcomes for device in outcome.devices]
        assert len(self.taken) == len(set(self.taken)), "a device was had twice"
        assert set(self.taken) == claimed(self.url), "the database knows of other claims"
        return took, outcomes


def main() -> None:
    """Measure everything."""
    if not NOVA.exists():
        raise LabError(f"there is no {NOVA}, Nova for comparison: run 'make bench-schedule'")
    progress = Progress(Console(stderr=True))
    report = Report(
        machine={"kernel": platform.release(), "processors": os.cpu_count(), "python": sys.version.split()[0]}
    )
    with progress.stage("Nova's filter"):
        nova = _nova_ms()
    for hosts in SIZES:
        with progress.stage(f"{hosts} hosts"), postgresql("shared_buffers=1GB") as url:
            _measure(report, url, hosts, nova[hosts])
        report.load[f"{hosts} hosts"] = os.getloadavg()[0]
    report.show(Console())
    target = PROJECT / "build" / "bench" / "schedule.json"
    report.write(target)
    print(f"written: {target}")


def _measure(report: Report, url: str, hosts: int, nova_ms: float) -> None:
    upgrade(url)
    with closing(SqlStore(url)) as store:
        fill(store, url, hosts=hosts, now=datetime.now(UTC))
    # Not forked: a controller is a process of its own.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max(CLIENTS), mp_context=context) as clients:
        cluster = Cluster(url=url, hosts=hosts, clients=clients, taken=[])
        cluster.place(WARM_UP * max(CLIENTS), clients=max(CLIENTS))
        _measure_alone(report, cluster, nova_ms)
        for number in CLIENTS:
            _measure_together(report, cluster, number)
        if hosts == min(SIZES):
            _exhaust(report, cluster)


def _measure_alone(report: Report, cluster: Cluster, nova_ms: float) -> None:
    name = f"{cluster.hosts} hosts"
    _, (outcome,) = cluster.place(ALONE, clients=1)
    both = quantiles(outcome.both_ms, n=100)
    report.samples[f"{name}: place"] = {"ms": outcome.place_ms}
    report.samples[f"{name}: claim"] = {"ms": outcome.claim_ms}
    budget = BUDGET_MS if cluster.hosts == max(SIZES) else None
    remark = f"p90 {both[89]:.2f}, p99 {both[98]:.2f}; {outcome.processor_ms / ALONE:.2f} of it the client's processor"
    report.figures += [
        Figure(what=f"{name}: ms to place and claim, p50", value=median(outcome.both_ms), budget=budget, remark=remark),
        Figure(
            what=f"{name}: place / Nova's filter of all hosts",
            value=median(outcome.place_ms) / nova_ms,
            remark=f"Nova: {nova_ms:.1f} ms, without reading the hosts",
        ),
    ]


def _measure_together(report: Report, cluster: Cluster, clients: int) -> None:
    took, outcomes = cluster.place(TOGETHER, clients=clients)
    each = [ms for outcome in outcomes for ms in outcome.both_ms]
    assert len(each) == TOGETHER
    lost = sum(outcome.races_lost for outcome in outcomes)
    at_most = 1000 / BUDGET_PER_S if (cluster.hosts, clients) == (max(SIZES), max(CLIENTS)) else None
    report.figures.append(
        Figure(
            what=f"{cluster.hosts} hosts: ms per claim, {clients} clients",
            value=took * 1000 / TOGETHER,
            budget=at_most,
            remark=f"{TOGETHER / took:.0f} claims/s, p50 {median(each):.1f} ms each, {lost} races lost",
        )
    )


def _exhaust(report: Report, cluster: Cluster) -> None:
    """Let many want more than there is: all of that is given away, and nothing twice."""
    leave_free(cluster.url, LAST_FREE)
    wanted = 2 * LAST_FREE // max(CLIENTS) * max(CLIENTS)
    _, outcomes = cluster.place(wanted, clients=max(CLIENTS))
    given, refused = sum(len(each.devices) for each in outcomes), sum(each.refused for each in outcomes)
    assert (given, refused) == (LAST_FREE, wanted - LAST_FREE), (given, refused)
    report.figures.append(
        Figure(
            what=f"{cluster.hosts} hosts: of the last {LAST_FREE} VFs, given to {max(CLIENTS)} clients",
            value=given,
            remark=f"{wanted} wanted, {refused} refused, {sum(each.races_lost for each in outcomes)} races lost",
        )
    )


def _nova_ms() -> dict[int, float]:
    """Return what one pass of Nova's filter takes, by the number of hosts."""
    program = PROJECT / "bench" / "nova_filter.py"
    done = subprocess.run(
        [str(NOVA), "-W", "ignore", str(program), *map(str, SIZES)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LabError(f"{program} failed:\n{done.stderr[-2000:]}")
    return {int(size): float(ms) for size, ms in json.loads(done.stdout.splitlines()[-1]).items()}


if __name__ == "__main__":
    try:
        main()
    except LabError as exc:
        sys.exit(f"bench: {exc}")
