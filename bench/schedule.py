"""python -m bench.schedule: what placing and claiming costs in clusters of 100 to 10,000 hosts with 64 VFs each.

Starts a PostgreSQL of its own on this machine, as durable as it comes; the clients, each a process as a controller is,
run beside it and share its processors. Measured in the same run, to compare with: a bare transaction, which writes a
container and a device that are known already and nothing else; and Nova's check of the same hosts (build/nova). Needs
root. Prints a table and writes build/bench/schedule.json. A budget that is not held is no failure; a device that is had
twice is.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from statistics import median, quantiles

from rich.console import Console

from bench.report import Figure, Report
from bench.schedule_cluster import Cluster, Round
from bench.schedule_inventory import fill, leave_free
from lab.databases import postgresql
from lab.errors import LabError
from lab.progress import Progress
from lab.state import PROJECT
from mooring.db.migrations import upgrade
from mooring.db.store import SqlStore

SIZES, CLIENTS = (100, 1_000, 10_000), (1, 4, 16)
# PostgreSQL decides for good how to run a statement when a client has asked it ten times.
ALONE, TOGETHER, WARM_UP, LAST_FREE = 200, 640, 16, 100
BUDGET_MS, BUDGET_PER_S = 5.0, 500.0
NOVA = PROJECT / "build" / "nova" / "bin" / "python"


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
        for act in (cluster.place, cluster.claim_bare):
            act(WARM_UP * max(CLIENTS), clients=max(CLIENTS))
        _measure_alone(report, cluster, nova_ms)
        for number in CLIENTS:
            _measure_together(report, cluster, number)
        if hosts == min(SIZES):
            _exhaust(report, cluster)


def _measure_alone(report: Report, cluster: Cluster, nova_ms: float) -> None:
    name = f"{cluster.hosts} hosts"
    placed, bare = cluster.place(ALONE, clients=1), cluster.claim_bare(ALONE, clients=1)
    (outcome,) = placed.outcomes
    share = quantiles(placed.both_ms, n=100)
    report.samples[f"{name}: place"] = {"ms": outcome.place_ms}
    report.samples[f"{name}: claim"] = {"ms": outcome.claim_ms}
    report.samples[f"{name}: bare transaction"] = {"ms": list(bare.both_ms)}
    report.figures += [
        Figure(
            what=f"{name}: ms to place and claim, p50",
            value=median(placed.both_ms),
            budget=BUDGET_MS if cluster.hosts == max(SIZES) else None,
            remark=f"p90 {share[89]:.2f}, p99 {share[98]:.2f}; {_processor(placed)}",
        ),
        Figure(
            what=f"{name}: place and claim / bare transaction",
            value=median(placed.both_ms) / median(bare.both_ms),
            remark=f"bare: {median(bare.both_ms):.2f} ms; {_processor(bare)}",
        ),
        Figure(
            what=f"{name}: place / Nova's filter of all hosts",
            value=median(outcome.place_ms) / nova_ms,
            remark=f"Nova: {nova_ms:.1f} ms, without reading the hosts",
        ),
    ]


def _measure_together(report: Report, cluster: Cluster, clients: int) -> None:
    placed, bare = cluster.place(TOGETHER, clients=clients), cluster.claim_bare(TOGETHER, clients=clients)
    assert placed.count == bare.count == TOGETHER
    name = f"{cluster.hosts} hosts, {clients} clients"
    is_promised = (cluster.hosts, clients) == (max(SIZES), max(CLIENTS))
    report.figures += [
        Figure(
            what=f"{name}: ms per claim",
            value=placed.ms_per_claim,
            budget=1000 / BUDGET_PER_S if is_promised else None,
            remark=f"{1000 / placed.ms_per_claim:.0f} claims/s, p50 {median(placed.both_ms):.1f} ms each, "
            f"{placed.races_lost} races lost; {_processor(placed)}",
        ),
        Figure(
            what=f"{name}: place and claim / bare transaction",
            value=placed.ms_per_claim / bare.ms_per_claim,
            remark=f"{1000 / bare.ms_per_claim:.0f} bare ones/s; {_processor(bare)}",
        ),
    ]


def _processor(measured: Round) -> str:
    return f"processor {measured.client_ms:.2f} ms client + {measured.server_ms:.2f} server"


def _exhaust(report: Report, cluster: Cluster) -> None:
    """Let many want more than there is: all of that is given away, and nothing twice."""
    leave_free(cluster.url, LAST_FREE)
    wanted = 2 * LAST_FREE // max(CLIENTS) * max(CLIENTS)
    last = cluster.place(wanted, clients=max(CLIENTS))
    refused = sum(each.refused for each in last.outcomes)
    assert (last.count, refused) == (LAST_FREE, wanted - LAST_FREE), (last.count, refused)
    report.figures.append(
        Figure(
            what=f"{cluster.hosts} hosts: of the last {LAST_FREE} VFs, given to {max(CLIENTS)} clients",
            value=last.count,
            remark=f"{wanted} wanted, {refused} refused, {last.races_lost} races lost",
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
