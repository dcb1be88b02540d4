"""python -m bench.node: what the daemon costs a host: memory, time to be ready, processor time while nothing happens.

Starts it as a service manager does, on this machine, as it is installed in build/host, against a real Neutron, and asks
it what Docker asks. There is no SR-IOV card in it: what a look at many VFs costs is measured on a synthetic host. Needs
root. Prints a table and writes build/bench/node.json. A budget that is not held is no failure.
"""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from rich.console import Console

from bench.daemon import Memory, RunningDaemon, environment, running_daemon
from bench.node_rescan import measure
from bench.report import Figure, Report, Samples
from lab.errors import LabError
from lab.neutron import NeutronCloud
from lab.progress import Progress
from lab.state import PROJECT

ROUNDS, IDLE_SECONDS, CALL_ROUNDS = 3, 60.0, 25
PYTHON = PROJECT / "build" / "host" / "bin" / "python"
CLOUD = PROJECT / "build" / "bench" / "cloud"
READY_S, RESIDENT_MB, IDLE_PERCENT, RESCAN_MS = 1.5, 80, 0.2, 20

LIBRARIES = (
    "import click, docker, keystoneauth1.loading, oslo_config.cfg, prometheus_client, pydantic, pyroute2, requests, "
    "structlog, waitress; from mooring.messaging import library; library()"
)
STEPS = {
    "python -c pass": "pass",
    "import the libraries alone": LIBRARIES,
    "import the daemon": "import mooring.node.daemon",
}
SERVED, READY = "start, until Docker is served", "start, until READY=1"


@dataclass(slots=True)
class Observed:
    """What was seen, one value for each round."""

    samples: Samples = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=dict)

    def step(self, name: str, ms: float, processor_ms: float | None = None) -> None:
        """Note a step that took time."""
        times = {"ms": ms} if processor_ms is None else {"ms": ms, "processor_ms": processor_ms}
        for kind, value in times.items():
            self.samples.setdefault(name, {}).setdefault(kind, []).append(value)

    def memory(self, when: str, memory: Memory) -> None:
        """Note what the daemon has in memory."""
        for kind, value in asdict(memory).items():
            self.note(f"{kind} {when}", value)

    def note(self, name: str, value: float) -> None:
        """Note a value."""
        self.values.setdefault(name, []).append(value)

    def median(self, name: str) -> float:
        """Return the median of the values of that name."""
        return median(self.values[name])

    def per_round(self, name: str, kind: str = "ms") -> list[float]:
        """Return a step's times."""
        return self.samples[name][kind]


def main() -> None:
    """Measure everything."""
    if not PYTHON.exists():
        raise LabError(f"there is no {PYTHON}, mooring as a host has it: run 'make bench-node'")
    progress, observed = Progress(Console(stderr=True)), Observed()
    report = Report(machine={"kernel": platform.release(), "python": _version(), "processors": os.cpu_count()})
    subprocess.run(_python(STEPS["import the daemon"]), env=environment(), check=True)  # compiles what is not yet
    with _cloud(progress) as cloud, _network(cloud) as network:
        for number in range(1, ROUNDS + 1):
            with progress.stage(f"round {number}"):
                _observe(observed, cloud, network)
            report.load[f"round {number}"] = os.getloadavg()[0]
    report.figures += [*_times(observed), *_memory(observed), *_rescan(observed)]
    report.samples |= observed.samples
    report.show(Console())
    target = PROJECT / "build" / "bench" / "node.json"
    report.write(target)
    print(f"written: {target}")


@contextmanager
def _cloud(progress: Progress) -> Iterator[NeutronCloud]:
    """Yield a cloud, started for this alone if it does not run."""
    cloud = NeutronCloud(CLOUD)
    if cloud.is_running():
        yield cloud
        return
    with progress.stage("start Neutron"):
        cloud.start()
    try:
        yield cloud
    finally:
        cloud.stop()


@contextmanager
def _network(cloud: NeutronCloud) -> Iterator[str]:
    with cloud.client("mooring") as neutron:
        # Neutron chooses a VLAN that nobody uses.
        segment = {"provider:network_type": "vlan", "provider:physical_network": "physnet2"}
        network = neutron.create("network", name="bench-node", **segment)["id"]
        try:
            yield network
        finally:
            neutron.delete("network", network)


def _observe(observed: Observed, cloud: NeutronCloud, network: str) -> None:
    """Do one round: the floors, then a daemon that starts, idles and is asked."""
    for name, program in STEPS.items():
        observed.step(name, *_run(program))
    observed.memory("of the libraries alone", _memory_with(LIBRARIES))
    with tempfile.TemporaryDirectory() as home, running_daemon(PYTHON, Path(home), cloud.facts) as daemon:
        observed.step(SERVED, daemon.serving_ms)
        observed.step(READY, daemon.ready_ms, daemon.processor_ms_to_ready)
        observed.memory("at READY=1", daemon.memory())
        observed.note("idle", _idle_percent(daemon))
        observed.memory("after idling", daemon.memory())
        for when in ("after 200 calls", "after 400 calls"):
            daemon.make_calls(CALL_ROUNDS, network)
            observed.memory(when, daemon.memory())
        observed.note("threads", daemon.threads())
    for name, ms in asdict(measure()).items():
        observed.note(name, ms)


def _idle_percent(daemon: RunningDaemon) -> float:
    began, used = time.monotonic(), daemon.processor_ms()
    time.sleep(IDLE_SECONDS)
    return (daemon.processor_ms() - used) / (time.monotonic() - began) / 10


def _times(observed: Observed) -> Iterator[Figure]:
    ready, served = observed.per_round(READY), observed.per_round(SERVED)
    used, least = observed.per_round(READY, "processor_ms"), observed.per_round("python -c pass", "processor_ms")
    imports = median(observed.per_round("import the daemon"))
    yield Figure(what="s from start to READY=1", value=median(ready) / 1000, budget=READY_S)
    yield Figure(what="… of it importing, measured alone", value=imports / 1000)
    yield Figure(what="… of it until Docker is served", value=median(served) / 1000)
    waited = median(all_ - until for all_, until in zip(ready, served, strict=True))
    yield Figure(what="… of it waiting for Neutron after that", value=waited / 1000)
    yield Figure(what="… of it processor time", value=median(used) / 1000)
    ratio = median(mine / floor for mine, floor in zip(used, least, strict=True))
    yield Figure(what="processor time to READY=1 / python -c pass", value=ratio)
    idle = f"% of a processor in {IDLE_SECONDS:g} s of idling"
    yield Figure(what=idle, value=observed.median("idle"), budget=IDLE_PERCENT)


def _memory(observed: Observed) -> Iterator[Figure]:
    for when in ("at READY=1", "after idling", "after 200 calls", "after 400 calls"):
        shared, resident = observed.median(f"pss {when}"), observed.median(f"rss {when}")
        remark = f"{shared:.1f} with shared pages shared out"
        yield Figure(what=f"MB resident {when}", value=resident, budget=RESIDENT_MB, remark=remark)
    libraries, threads = observed.median("rss of the libraries alone"), observed.median("threads")
    yield Figure(
        what="MB resident at READY=1 / the libraries alone",
        value=observed.median("rss at READY=1") / libraries,
        remark=f"{libraries:.1f} MB without configuration, connections and {threads:g} threads",
    )


def _rescan(observed: Observed) -> Iterator[Figure]:
    links = observed.median("links")
    rescan, remark = observed.median("rescan"), f"{links:.1f} ms for reading the links alone"
    yield Figure(what="processor ms for a look at 1,024 VFs", value=rescan, budget=RESCAN_MS, remark=remark)
    yield Figure(what="… at the first one", value=observed.median("first_rescan"))
    yield Figure(what="… of it decoding a card with 64 VFs at the first", value=observed.median("decode_64_vfs"))


def _python(program: str) -> list[str]:
    return [str(PYTHON), "-W", "ignore", "-c", program]


def _run(program: str) -> tuple[float, float]:
    """Run a program and return its milliseconds, and those of processor time."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(_python(program), env=environment(), check=True)
    ms, after = (time.monotonic() - began) * 1000, resource.getrusage(resource.RUSAGE_CHILDREN)
    return ms, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def _memory_with(program: str) -> Memory:
    """Return the memory of an interpreter that has run a program."""
    waiting = f"{program}; print(flush=True); input()"
    with subprocess.Popen(
        _python(waiting), env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        memory = Memory.of(process.pid)
        process.communicate("\n")
        return memory


def _version() -> str:
    return subprocess.run([PYTHON, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]


if __name__ == "__main__":
    try:
        main()
    except LabError as exc:
        sys.exit(f"bench: {exc}")
