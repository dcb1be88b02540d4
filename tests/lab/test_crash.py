"""kill -9 of the daemon at every step of attach and detach, with real VFs, Docker and Neutron: nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from lab.neutron.client import Resource
from lab.node import MooringNode
from mooring.attach.types import LeaseStep
from tests.lab.mortal import is_obeyed, mortal, order
from tests.lab.stage import Stage

pytestmark = pytest.mark.long

VLAN = 165
# The journal's last write of a lease names no step.
END = "end"
SETTLED_S = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A node whose daemon can be told when to die, and a port for its containers."""

    node: MooringNode
    docker_network: str
    port: Resource

    def run_and_remove(self, words: str) -> None:
        """Let a container come and go while the daemon dies as ordered; either may fail."""
        order(self.node, words)
        name = f"crash-{words.replace(' ', '-')}"
        options = f"--network name={self.docker_network},driver-opt=neutron.port.uuid={self.port['id']}"
        for command in (f"docker run -itd --name {name} {options} ubuntu", f"docker rm -f {name}"):
            self.node.guest.run(command, check=False, timeout=SETTLED_S)
        assert is_obeyed(self.node), f"never came to pass: {words}"


@pytest.fixture(scope="module", name="scenes")
def _scenes(stage: Stage) -> Iterator[tuple[Scene, Scene]]:
    network = stage.network(vlan=VLAN)
    with mortal(stage.nodes):
        one, two = (
            Scene(node=node, docker_network=stage.null_network(node, network), port=stage.port(network))
            for node in stage.nodes
        )
        yield one, two
    stage.clear()


@pytest.mark.parametrize("step", [*LeaseStep, END])
def test_a_daemon_killed_at_a_step_leaves_nothing_behind(stage: Stage, scenes: tuple[Scene, Scene], step: str) -> None:
    """On one node before the step is written, on the other after it.

    Debts of bindings that Neutron never confirmed last a minute: that they end, too, is asserted when all tests have.
    """
    one, two = scenes
    with ThreadPoolExecutor() as pool:
        before = pool.submit(one.run_and_remove, f"before {step}")
        after = pool.submit(two.run_and_remove, f"after {step}")
    before.result()
    after.result()

    stage.await_nothing_left(debts=False, seconds=SETTLED_S)
