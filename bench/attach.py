"""python -m bench.attach: what an attach costs, in calls of Neutron and in time, against the kernel and Docker.

Uses the lab (MOORING_LAB_DIR, or build/lab), and starts and ends it if it is not up; no container on its node1 may hold
a VF. Prints a table and writes build/bench/attach.json. A budget that is not held is no failure.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.console import Console

from bench.calls import Log, bookmark, log_since
from bench.report import Figure, Report, Samples, ratio
from lab.errors import LabError
from lab.lab import Lab
from lab.neutron.client import NetworkClient
from lab.node import MooringNode
from lab.progress import Progress
from lab.state import PROJECT

COUNTED, OWN_TIME_ROUNDS, DOCKER_ROUNDS = 2, 25, 6
CIDR = "10.10.0.0/24"
SETTLED_SECONDS = 40
FLOOR = ("floor: VF attributes", "floor: unbind the VF's driver", "floor: bind it again")
OWN = ("mooring: CreateEndpoint", "mooring: Join")
GUEST_DIR = "/run"
GUEST_PYTHON = f"cd {GUEST_DIR} && PYTHONPATH={GUEST_DIR}:/opt/mooring/app:/opt/mooring/lib python3 -m"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A node, the cloud's client, one port with two Docker networks that lead to it, and a network of driver bridge."""

    node: MooringNode
    neutron: NetworkClient
    port: dict[str, Any]
    kuryr: str
    null: str
    bridge: str

    @property
    def address(self) -> str:
        """The port's address."""
        return str(self.port["fixed_ips"][0]["ip_address"])

    def ways(self) -> dict[str, str]:
        """Return the two ways to name the port to Docker."""
        return {
            "--ip": f"--net={self.kuryr} --ip={self.address}",
            "--ipam-driver null": f"--network name={self.null},driver-opt=neutron.port.uuid={self.port['id']}",
        }

    def run(self, words: str) -> None:
        """Start a container and wait until Neutron shows its port ACTIVE."""
        self.node.guest.run(f"docker run -d --name bench {words} ubuntu sleep 600")
        self._await(lambda port: port["status"] == "ACTIVE")

    def remove(self) -> None:
        """Remove the container and wait until its port is nobody's."""
        self.node.guest.run("docker rm -f bench")
        self._await(lambda port: not port["device_id"])

    def logged(self, work: Callable[[], None]) -> Log:
        """Do something and return what the daemon logged meanwhile."""
        cursor = bookmark(self.node)
        work()
        return log_since(self.node, cursor, neutron_port=self.node.cloud.facts.network_port)

    def _await(self, holds: Callable[[dict[str, Any]], bool]) -> None:
        deadline = time.monotonic() + SETTLED_SECONDS
        while not holds(port := self.neutron.get_port(self.port["id"])):
            if time.monotonic() > deadline:
                raise LabError(f"port {port['id']} does not settle: {port['status']}, device {port['device_id']!r}")
            time.sleep(0.2)


def main() -> None:
    """Measure everything."""
    progress = Progress(Console(stderr=True))
    with lab_that_is_up(progress) as lab:
        state = lab.state()
        if state is None:
            raise LabError(f"the lab in {lab.paths.directory} was taken down")
        machine = {
            "guests": state.guest_release,
            "accelerator": state.accelerator,
            "guest's kernel": lab.guest("node1").run("uname -r").stdout.strip(),
        }
        report = Report(machine=machine)
        with set_up(lab) as bench:
            for part in (count_calls, measure_docker, measure_own_time):
                with progress.stage(part.__name__.replace("_", " ")):
                    part(bench, report)
                report.load[part.__name__] = os.getloadavg()[0]
    report.show(Console())
    target = PROJECT / "build" / "bench" / "attach.json"
    report.write(target)
    print(f"written: {target}")


@contextmanager
def lab_that_is_up(progress: Progress) -> Iterator[Lab]:
    """Yield the lab, started for this alone if it is not up."""
    lab = Lab.default()
    if lab.is_up():
        yield lab
        return
    lab.up("bookworm", progress)
    try:
        yield lab
    finally:
        lab.down()


@contextmanager
def set_up(lab: Lab) -> Iterator[Bench]:
    """Prepare node1 and a port for it; both are as before afterwards, but that mooring runs on node1."""
    node = MooringNode(guest=lab.guest("node1"), cloud=lab.cloud)
    node.configure()
    if held := node.leases():
        raise LabError(f"containers on {node.name} hold VFs: remove them first ({held})")
    node.guest.run(f"rm -rf {GUEST_DIR}/bench")
    node.guest.put(PROJECT / "bench", GUEST_DIR)
    restart(node, debug=False)
    with lab.cloud.client("mooring") as neutron:
        # Neutron chooses a VLAN that nobody uses.
        segment = {"provider:network_type": "vlan", "provider:physical_network": "physnet2"}
        network = neutron.create("network", name="bench", **segment)
        neutron.create_subnet(network["id"], CIDR)
        port = neutron.create_port(network["id"], vnic_type="direct")
        try:
            create = f"docker network create -d kuryr -o neutron.net.uuid={network['id']}"
            node.guest.run(f"{create} --ipam-driver=kuryr --subnet={CIDR} bench-kuryr")
            node.guest.run(f"{create} --ipam-driver null bench-null")
            node.guest.run("docker network create bench-bridge")
            yield Bench(
                node=node, neutron=neutron, port=port, kuryr="bench-kuryr", null="bench-null", bridge="bench-bridge"
            )
        finally:
            restart(node, debug=False)
            node.guest.run("docker rm -f bench; docker network rm bench-kuryr bench-null bench-bridge", check=False)
            neutron.delete("port", port["id"])
            neutron.delete("network", network["id"])


def restart(node: MooringNode, *, debug: bool) -> None:
    """Start the daemon anew: it remembers nothing of Neutron's answers then."""
    node.stop()
    node.guest.run(f"sed -i -e '/^debug/d' -e 's/^.DEFAULT.$/&\\ndebug = {debug}/' /etc/mooring/mooring.conf")
    node.start()


def count_calls(bench: Bench, report: Report) -> None:
    """Count REST calls: the worst of several starts and stops, and of the first after the daemon was started."""
    for way, words in bench.ways().items():
        restart(bench.node, debug=True)
        logs = [(bench.logged(partial(bench.run, words)), bench.logged(bench.remove)) for _ in range(1 + COUNTED)]
        (first, _), usual = logs[0], logs[1:]
        attached = max((attached for attached, _ in usual), key=lambda log: len(log.rest))
        detached = max((detached for _, detached in usual), key=lambda log: len(log.rest))
        report.figures += [
            Figure(what=f"REST calls of a start, {way}", value=len(attached.rest), budget=3, remark=_told(attached)),
            Figure(what="… in CreateEndpoint", value=attached.made_in("CreateEndpoint"), budget=0),
            Figure(what="… in RequestAddress", value=attached.made_in("RequestAddress")),
            Figure(what=f"REST calls of a stop, {way}", value=len(detached.rest), budget=1, remark=_told(detached)),
            Figure(what=f"REST calls of the daemon's first start, {way}", value=len(first.rest), remark=_told(first)),
        ]
    restart(bench.node, debug=False)


def measure_docker(bench: Bench, report: Report) -> None:
    """Time ``docker run`` on a VF and on others, and mooring's part of it."""
    samples: Samples = {}

    def run() -> None:
        words = f"docker_run {DOCKER_ROUNDS} {bench.kuryr} {bench.address} {bench.bridge}"
        samples.update(in_guest(bench.node, words))

    for call in bench.logged(run).docker:
        samples.setdefault(f"with Neutron: {call.name}", {"ms": []})["ms"].append(call.ended - call.began)
    for other in ("Docker's own bridge", "a bridge network"):
        value = ratio(samples, ("docker run on a VF",), (f"docker run on {other}",))
        report.figures.append(Figure(what=f"docker run on a VF / on {other}", value=value, budget=1.05))
    report.samples |= {name: {"ms": sample["ms"]} for name, sample in samples.items()}


def measure_own_time(bench: Bench, report: Report) -> None:
    """Time mooring without Neutron against the kernel's floor; the daemon makes room for it."""
    bench.node.stop()
    samples = in_guest(bench.node, f"own_time {OWN_TIME_ROUNDS}")
    report.figures += [
        Figure(what="CreateEndpoint + Join without Neutron / floor", value=ratio(samples, OWN, FLOOR), budget=1.3),
        Figure(what="move to a namespace / floor", value=ratio(samples, ("floor: move to a namespace",), FLOOR)),
        Figure(
            what="DeleteEndpoint without Neutron / floor", value=ratio(samples, ("mooring: DeleteEndpoint",), FLOOR)
        ),
    ]
    report.samples |= samples


def in_guest(node: MooringNode, words: str) -> Samples:
    """Run a module of ``bench.in_guest`` in the guest and return its samples."""
    samples: Samples = json.loads(node.guest.run(f"{GUEST_PYTHON} bench.in_guest.{words}", timeout=1800).stdout)
    return samples


def _told(log: Log) -> str:
    return ", ".join(map(str, log.rest))


if __name__ == "__main__":
    try:
        main()
    except LabError as exc:
        sys.exit(f"bench: {exc}")
