"""Containers come and go in crowds while the daemon and containers are killed at random: nothing is lost.

CHURN_CYCLES and CHURN_SEED, both numbers, say how many containers come, and which of the many courses it takes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from random import Random

import pytest

from lab.neutron.client import Resource
from lab.node import UNIT, MooringNode
from tests.lab.stage import Stage

pytestmark = pytest.mark.long

CYCLES = int(os.environ.get("CHURN_CYCLES", "16"))
SEED = int(os.environ.get("CHURN_SEED", "82576"))
VLAN = 167
WORKERS_PER_NODE = 4
# A port whose start a kill has cut off is not to be had before it is settled; its worker goes on with the next.
PORTS_PER_WORKER = 3
CYCLES_PER_KILL = 8
COMMAND_S, SETTLED_S = 300, 300

END_BY_REMOVAL = "docker rm -f {name}"
END_BY_KILL = "kill -9 $(docker inspect --format {{{{.State.Pid}}}} {name}); docker rm -f {name}"
END_AFTER_RESTART = "docker restart -t 0 {name}; docker rm -f {name}"
ENDS = (END_BY_REMOVAL, END_BY_REMOVAL, END_BY_KILL, END_AFTER_RESTART)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A port, and where containers may have it."""

    node: MooringNode
    docker_network: str
    port: Resource


class Churn:
    """Hands out the cycles, and kills a daemon after every so many of them."""

    def __init__(self, nodes: tuple[MooringNode, MooringNode], cycles: int, seed: int) -> None:
        self._nodes = nodes
        self._random = Random(seed)  # noqa: S311 - to be repeatable is what it is for
        self._lock = threading.Lock()
        self._left = cycles
        self.started = 0
        self.kills = 0

    def work(self, worker: int, places: list[Place]) -> None:
        """Let containers come and go until there are cycles no more."""
        for place in cycle(places):
            taken = self._take()
            if taken is None:
                return
            number, end, victim = taken
            if victim is not None:
                victim.guest.run(f"systemctl kill --signal=KILL {UNIT}", check=False)
            self._come_and_go(f"churn-{worker}-{number}", place, end)

    def _take(self) -> tuple[int, str, MooringNode | None] | None:
        """Return the next cycle's number, how its container ends, and whose daemon is killed at its beginning."""
        with self._lock:
            if self._left == 0:
                return None
            self._left -= 1
            end, victim = self._random.choice(ENDS), self._random.choice(self._nodes)
            if self._left % CYCLES_PER_KILL:
                return self._left, end, None
            self.kills += 1
            return self._left, end, victim

    def _come_and_go(self, name: str, place: Place, end: str) -> None:
        """A start may fail, for its daemon may be killed in the midst of it; a removal must not."""
        run = place.node.guest.run
        words = f"--network name={place.docker_network},driver-opt=neutron.port.uuid={place.port['id']}"
        came = run(f"docker run -itd --name {name} {words} ubuntu", check=False, timeout=COMMAND_S)
        run(end.format(name=name) if came.code == 0 else f"docker rm -f {name}", timeout=COMMAND_S)
        with self._lock:
            self.started += came.code == 0


@pytest.fixture(autouse=True)
def _leave_no_trace(stage: Stage) -> Iterator[None]:
    yield
    stage.clear()


@pytest.mark.timeout(300 + 10 * CYCLES)
def test_containers_in_crowds_and_kills_at_random_leave_nothing_behind(
    stage: Stage, pytestconfig: pytest.Config
) -> None:
    say = pytestconfig.get_terminal_writer().line
    say(f"churn: {CYCLES} cycles, seed {SEED}")
    churn = Churn(stage.nodes, CYCLES, SEED)
    crews = [crew for vlan, node in enumerate(stage.nodes, start=VLAN) for crew in _crews(stage, node, vlan)]

    with ThreadPoolExecutor(len(crews)) as pool:
        for working in [pool.submit(churn.work, worker, places) for worker, places in enumerate(crews)]:
            working.result()

    say(f"churn: {churn.started} of {CYCLES} containers started, the daemon was killed {churn.kills} times")
    stage.await_nothing_left(seconds=SETTLED_S)
    assert churn.started >= CYCLES // 2


def _crews(stage: Stage, node: MooringNode, vlan: int) -> list[list[Place]]:
    """Return the places of each worker on a node: ports on both of its cards in turn."""
    cards = []
    for pf in node.guest.state.pfs:
        network = stage.network(physical_network=pf.physical_network, vlan=vlan)
        cards.append((network, stage.null_network(node, network)))

    def place(number: int) -> Place:
        network, docker_network = cards[number % len(cards)]
        return Place(node=node, docker_network=docker_network, port=stage.port(network))

    return [[place(worker + turn) for turn in range(PORTS_PER_WORKER)] for worker in range(WORKERS_PER_NODE)]
