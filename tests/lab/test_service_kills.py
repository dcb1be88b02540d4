"""kill -9 of controllers at their steps, and of nodes around each operation; hosts that go away: nothing is lost.

What a node does within an operation is cut off at each of Docker's calls in tests/unit, and at each step of a lease in
test_crash.py.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Self

import pytest

from lab.lab import Lab
from lab.neutron.client import Resource
from lab.node import SOCKET_UNIT, UNIT, MooringNode
from lab.service import Controller
from mooring.container.states import Verb
from mooring.controller.steps import Step
from tests.lab.crashing_controller import VARIABLE
from tests.lab.mortal import is_obeyed, mortal, order
from tests.lab.service_stage import IMAGE, SETTLED_S, ServiceStage, serving
from tests.lab.stage import CIDR, Stage, eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

VLAN = 185
# Docker gives a container no two interfaces in one subnet.
OTHER_CIDR = "10.11.0.0/24"
MOMENTS = "before", "after"
LAUNCHER = Path(__file__).parent / "crashing_controller.py"
REVIVED_EVERY_S = 0.5
# No host here refuses what another takes and leaves something of it behind, and only a worker that another outran finds
# nothing to do.
UNREACHED = frozenset({Step.RETURN, Step.REST})


class Reviver:
    """Starts controllers again that have died, as a service manager does."""

    def __init__(self, controllers: tuple[Controller, ...]) -> None:
        self._controllers = controllers
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.deaths = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(REVIVED_EVERY_S):
            for controller in self._controllers:
                if not controller.daemon.is_running():
                    self.deaths += 1
                    controller.daemon.start()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadly:
    """The service with two controllers that do the work and die as ordered, beside one that only answers."""

    scene: ServiceStage
    orders: Path
    reviver: Reviver

    def order(self, name: str, words: str) -> None:
        """Tell the controllers at which step of a container one of them is to die."""
        (self.orders / name).write_text(words)

    def disobeyed(self) -> list[str]:
        """Return the orders that never came to pass."""
        return [f"{path.name}: {path.read_text()}" for path in self.orders.iterdir()]


@pytest.fixture(scope="module", name="deadly")
def _deadly(stage: Stage, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deadly]:
    orders = tmp_path_factory.mktemp("orders")
    idle = (sys.executable, str(LAUNCHER))
    working = ("env", f"{VARIABLE}={orders}", *idle)
    directory = tmp_path_factory.mktemp("service")
    with serving(stage, lab.cloud, directory, controllers=3, programs=(idle, working, working)) as scene:
        _, *workers = scene.service.controllers
        with mortal(scene.nodes), Reviver(tuple(workers)) as reviver:
            yield Deadly(scene=scene, orders=orders, reviver=reviver)


@pytest.fixture(name="scene")
def _scene(deadly: Deadly) -> Iterator[ServiceStage]:
    yield deadly.scene
    deadly.scene.clear()
    deadly.scene.await_nothing_left()


def test_a_controller_killed_at_any_step_leaves_its_work_to_another(deadly: Deadly, scene: ServiceStage) -> None:
    """Each step before and after its work, each with a container of its own, all at once: it takes two leases."""
    networks = cycle(scene.network(physical_network=f"physnet{number}", vlan=VLAN) for number in (1, 2))
    lives: Mapping[Step, Callable[[Deadly, str, Resource], None]] = {
        Step.RELEASE: _fail,
        Step.LEAVE: partial(
            _lose_a_port, other=scene.network(physical_network="physnet1", vlan=VLAN + 1, cidr=OTHER_CIDR)
        ),
    }
    steps = {f"{moment}-{step}": (moment, step) for step in Step if step not in UNREACHED for moment in MOMENTS}
    ports = {
        name: scene.port(next(networks), user="admin" if step is Step.RELEASE else "demo")
        for name, (_, step) in steps.items()
    }
    for name, (moment, step) in steps.items():
        deadly.order(name, f"{moment} {step}")

    with ThreadPoolExecutor(len(steps)) as pool:
        for done in [
            pool.submit(lives.get(step, _live), deadly, name, ports[name]) for name, (_, step) in steps.items()
        ]:
            done.result()

    assert deadly.disobeyed() == []
    assert deadly.reviver.deaths > 0
    scene.await_nothing_left()


def _live(deadly: Deadly, name: str, port: Resource) -> None:
    scene = deadly.scene
    scene.mooring(f"run --name {name} --nets port={port['id']} {IMAGE} sleep 3600")
    assert scene.now(port)["binding:vif_type"] == "hw_veb"
    scene.mooring(f"rm --stop --wait {name}")


def _lose_a_port(deadly: Deadly, name: str, port: Resource, *, other: Resource) -> None:
    scene = deadly.scene
    second = scene.port(other)
    scene.mooring(f"run --name {name} --nets port={port['id']} --nets port={second['id']} {IMAGE} sleep 3600")
    scene.mooring(f"net detach --wait --port {second['id']} {name}")
    assert scene.now(second)["binding:vif_type"] == "unbound"
    scene.mooring(f"rm --stop --wait {name}")


def _fail(deadly: Deadly, name: str, port: Resource) -> None:
    scene = deadly.scene
    said = scene.try_mooring(
        f"create --wait --name {name} --image-pull-policy never --nets port={port['id']} nosuch", user="admin"
    )
    assert said.returncode == 1
    assert "nosuch" in said.stderr
    eventually(
        lambda: scene.now(port)["binding:vif_type"] == "unbound", f"port {port['id']} is free", seconds=SETTLED_S
    )
    scene.mooring(f"rm --wait {name}", user="admin")


Deed = Callable[[ServiceStage, str, Resource], object]


def _mooring(words: str) -> Deed:
    return lambda scene, name, other: scene.mooring(words.format(name=name, other=other["id"]), user="admin")


def _asked(method: str, path: str, body: Resource | None = None) -> Deed:
    def ask(scene: ServiceStage, name: str, _: Resource) -> None:
        scene.ask(method, path.format(name=name), body)
        eventually(
            lambda: scene.show(name)["task_state"] is None, f"{method} {path} is done", seconds=SETTLED_S, every=2
        )

    return ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is done with a container that runs: before, while and after its host's daemon dies; what becomes of it."""

    first: Deed = lambda *_: None
    then: Deed
    last: Deed = lambda *_: None
    status: str = "Running"


TRIALS: Mapping[Verb, Trial] = {
    Verb.CREATE: Trial(then=lambda *_: None),
    Verb.START: Trial(first=_mooring("stop --time 0 --wait {name}"), then=_mooring("start --wait {name}")),
    Verb.STOP: Trial(then=_mooring("stop --time 0 --wait {name}"), status="Stopped"),
    Verb.REBOOT: Trial(then=_mooring("restart --time 0 --wait {name}")),
    Verb.PAUSE: Trial(then=_mooring("pause --wait {name}"), last=_mooring("unpause --wait {name}"), status="Paused"),
    Verb.UNPAUSE: Trial(first=_mooring("pause --wait {name}"), then=_mooring("unpause --wait {name}")),
    Verb.KILL: Trial(then=_mooring("kill --wait {name}"), status="Stopped"),
    Verb.REBUILD: Trial(then=_asked("POST", "/containers/{name}/rebuild")),
    Verb.UPDATE: Trial(then=_asked("PATCH", "/containers/{name}", {"memory": "64"})),
    Verb.ATTACH: Trial(then=_mooring("net attach --wait --port {other} {name}")),
    Verb.DETACH: Trial(
        first=_mooring("net attach --wait --port {other} {name}"),
        then=_mooring("net detach --wait --port {other} {name}"),
    ),
    Verb.DELETE: Trial(then=lambda *_: None),
}


@pytest.mark.parametrize("verb", Verb)
def test_a_node_killed_when_it_is_told_and_when_it_is_done_goes_on_to_the_end(scene: ServiceStage, verb: Verb) -> None:
    """On one host when it has noted what it is told, on the other before it notes that it is done."""
    networks = [
        scene.network(physical_network=f"physnet{number}", vlan=VLAN, cidr=cidr)
        for number, cidr in enumerate((CIDR, OTHER_CIDR), start=1)
    ]
    orders = f"after want-{verb.value}", f"before finish-{verb.value}"
    with ThreadPoolExecutor() as pool:
        trials = [
            pool.submit(_try, scene, node, verb, words, networks)
            for node, words in zip(scene.nodes, orders, strict=True)
        ]
    for trial in trials:
        trial.result()


def _try(scene: ServiceStage, node: MooringNode, verb: Verb, words: str, networks: list[Resource]) -> None:
    name, trial = f"on-{node.name}", TRIALS[verb]
    port, other = (scene.port(network, user="admin") for network in networks)
    asked = f"--host {node.name} --name {name} --nets port={port['id']} {IMAGE} sleep 3600"
    if verb is Verb.CREATE:
        order(node, words)
    scene.mooring(f"run {asked}", user="admin")
    trial.first(scene, name, other)
    if verb is not Verb.CREATE:
        order(node, words)
    if verb is not Verb.DELETE:
        trial.then(scene, name, other)
        container = scene.show(name)
        assert (container["status"], container["host"]) == (trial.status, node.name)
        bound = [each["binding:vif_type"] for each in (scene.now(port), scene.now(other))]
        assert bound == ["hw_veb", "hw_veb" if verb is Verb.ATTACH else "unbound"]
        _await_obeyed(node, words)
    trial.last(scene, name, other)
    scene.mooring(f"rm --stop --wait {name}", user="admin")
    _await_obeyed(node, words)


def _await_obeyed(node: MooringNode, words: str) -> None:
    eventually(lambda: is_obeyed(node), f"{node.name} died {words}", every=2)


def test_a_host_that_loses_power_has_its_containers_back(scene: ServiceStage) -> None:
    """One container starts again by its restart policy, the other has ended; both keep their VFs."""
    networks = [
        scene.network(physical_network=f"physnet{number}", vlan=VLAN, cidr=cidr)
        for number, cidr in enumerate((CIDR, OTHER_CIDR), start=1)
    ]
    ports = [scene.port(network, user="admin") for network in networks]
    node, _ = scene.nodes
    for name, port, policy in zip(("lasting", "ending"), ports, ("always", "no"), strict=True):
        words = f"--host {node.name} --restart {policy} --name {name} --nets port={port['id']} {IMAGE} sleep 3600"
        scene.mooring(f"run {words}", user="admin")
    node.guest.run("sync")

    node.guest.reset()

    eventually(
        lambda: [scene.show(name)["status"] for name in ("lasting", "ending")] == ["Running", "Stopped"],
        "one runs again, the other has ended",
        seconds=SETTLED_S,
        every=2,
    )
    scene.stage.await_status(ports[0], "ACTIVE")
    scene.mooring("start --wait ending", user="admin")
    for name, port in zip(("lasting", "ending"), ports, strict=True):
        assert port["mac_address"] in scene.mooring(f"exec {name} ip addr show eth0", user="admin")


def test_what_is_taken_away_while_its_host_is_down_goes_when_the_host_is_back(scene: ServiceStage) -> None:
    network = scene.network(physical_network="physnet1", vlan=VLAN)
    node, _ = scene.nodes
    port = scene.port(network, user="admin")
    words = f"--host {node.name} --name web --nets port={port['id']} {IMAGE} sleep 3600"
    scene.mooring(f"run {words}", user="admin")
    node.guest.run(f"systemctl stop {SOCKET_UNIT} {UNIT}")

    scene.mooring("rm --stop web", user="admin")

    assert scene.show("web")["status"] == "Deleting"
    assert scene.now(port)["binding:host_id"] == node.name
    node.guest.run(f"systemctl start {SOCKET_UNIT} {UNIT}")
    scene.await_nothing_left()
    assert scene.now(port)["binding:vif_type"] == "unbound"
