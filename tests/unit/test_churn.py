# ruff: noqa: S311 - the dice are to be fair, not secret
"""Containers that come and go in eight threads, while everything around them fails at random, lose nothing.

The dice are seeded, but which thread runs when is up to the machine: no seed makes a failure come again, and how many
daemons are killed in a run is nobody's promise. The threads pace themselves by the host's changes, and by the clock
where none comes; what is asserted holds at any pace.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from random import Random

import pytest
from attach_faults import Faults, Killed
from attach_world import World
from structlog.testing import capture_logs

from mooring.attach.types import Lease
from mooring.errors import MooringError
from mooring.neutron.model import Port

pytestmark = pytest.mark.exhaustive

SEED = 20261120
LIVES = 500
THREADS = 8
KINDS = ("direct", "macvtap", "normal")
HANDS = (
    *("vf", "_find", "move_to_container", "move_link_to_container", "move_pf_to_container"),
    *("move_to_host", "move_link_to_host", "pf_comes_home"),
    *("container_dies", "links_die", "pf_container_dies"),
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    other, _ = world.kernel.physical_functions()
    for vf in other.vfs[5:]:
        world.kernel.unplug(vf)
    world.containers = set()
    for hand in HANDS:
        setattr(world.kernel, hand, _in_turn(world.kernel.lock, getattr(world.kernel, hand)))
    with capture_logs():
        yield world
    world.kill()


@dataclass
class Docker:
    """Starts and ends containers, and does not always tell; ``running`` outlive a daemon."""

    world: World
    numbers: Iterator[int] = field(default_factory=itertools.count)
    started: int = 0
    running: dict[str, Lease] = field(default_factory=dict)

    def work(self, ports: list[Port], dice: Random) -> None:
        """Start one container after the other, and end it or let it run, until the daemon dies or there were enough."""
        with suppress(Killed):
            while self.started < LIVES:
                name = f"endpoint-{next(self.numbers)}"
                try:
                    self._live(name, dice.choice(ports), dice)
                except MooringError:
                    self._tell(name, dice)
                    self.world.now_s += 0.2
                    self._wait_for_others()

    def end(self, name: str, dice: Random) -> None:
        """End a running container, in good order or not."""
        lease = self.running[name]
        if dice.random() < 0.7:
            self.world.leave(lease)
        else:
            self.world.die(lease)
        del self.running[name]
        self._tell(name, dice)

    def _live(self, name: str, port: Port, dice: Random) -> None:
        assert self.world.containers is not None
        self.world.containers.add(name)  # from the beginning of its start on
        try:
            self.world.run(port, name)
        except BaseException:
            self.world.containers.discard(name)
            raise
        lease = self.world.core.engine.find(name)
        assert lease is not None
        self.started += 1
        self.world.now_s += 1
        self.running[name] = lease
        if dice.random() < 0.95:
            self.end(name, dice)

    def _wait_for_others(self) -> None:
        with self.world.kernel.changes.listen() as events:
            events.wait(0.02)

    def _tell(self, name: str, dice: Random) -> None:
        if dice.random() < 0.05:
            return
        with suppress(MooringError):
            self.world.core.engine.detach(name)


def test_five_hundred_containers_with_everything_failing_at_random_leave_nothing_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = Random(SEED)
    faults = Faults(world, monkeypatch)
    docker = Docker(world)
    ports = _ports(world)

    for daemon in itertools.count(1):
        told = f"after daemon {daemon}"
        was_killed = _live_through(docker, ports, faults, dice)
        world.kill()
        world.start()
        world.later()
        assert {lease.attachment for lease in world.core.journal.leases()} == set(docker.running), told
        assert [fault for name in docker.running for fault in world.check(name)] == [], told
        for name in [name for name in docker.running if not was_killed or dice.random() < 0.8]:
            docker.end(name, dice)
        if not was_killed:
            break

    world.later()
    assert world.unclean() == []


def _ports(world: World) -> list[list[Port]]:
    """Give each thread ports of its own, and to one of them one that wants a whole card."""
    networks = [world.network, world.neutron.add_network("other", physical_network="physnet1", vlan=7)]
    ports = [
        [world.neutron.add_port(networks[number % 2], vnic_type=kind) for kind in KINDS] for number in range(THREADS)
    ]
    ports[0].append(world.neutron.add_port(world.network, vnic_type="direct-physical"))
    return ports


def _live_through(docker: Docker, ports: list[list[Port]], faults: Faults, dice: Random) -> bool:
    """Let a daemon live until all containers have been, or it is killed before; tell whether it was."""
    world = docker.world
    with faults.killing(dice.randrange(500, 4000)) as fate:
        over = threading.Event()
        with ThreadPoolExecutor(THREADS + 3) as pool:
            keepers = [pool.submit(_until, over, duty) for duty in (_settling(world), _sweeping(world))]
            keepers.append(pool.submit(_until, over, _troubling(world, Random(dice.random()))))
            workers = [pool.submit(docker.work, some, Random(dice.random())) for some in ports]
            for worker in workers:
                worker.result()
            over.set()
            for keeper in keepers:
                keeper.result()
        if fate.came:
            raise Killed
    world.neutron.unreachable = False
    world.neutron.server._failures.clear()
    world.neutron._bus_failures.clear()
    for card in world.kernel.physical_functions():
        world.kernel.set_pf_up(card, up=True)
    return fate.came


def _settling(world: World) -> Callable[[], None]:
    """Be the thread that settles with Neutron and follows it."""

    def settle() -> None:
        with world.kernel.changes.listen() as events:
            events.wait(0.02)
        for duty in (world.core.settlement.settle, world.core.follower.attend, world.core.follower.round):
            with suppress(MooringError):
                duty()

    return settle


def _sweeping(world: World) -> Callable[[], None]:
    """Be the thread that sweeps the host when something has changed."""

    def sweep() -> None:
        with world.kernel.changes.listen() as events:
            with suppress(MooringError):
                world.core.reconciler.sweep()
            for _ in range(5):
                events.wait(0.02)

    return sweep


def _troubling(world: World, dice: Random) -> Callable[[], None]:
    """Be the misfortune that befalls a host: one thing or another, until the host has changed a few times."""

    def wait_for_changes() -> None:
        with world.kernel.changes.listen() as events:
            for _ in range(dice.randrange(1, 9)):
                events.wait(0.05)

    def trouble() -> None:
        match dice.choice(["away", "card", "bus", "reply", "reply", "reply", "calm", "calm", "calm", "calm"]):
            case "away":
                world.neutron.unreachable = True
            case "reply":
                world.neutron.fail_call(dice.randrange(1, 9), reply_lost=True)
            case "bus":
                world.neutron.fail_bus_call(1, reply_lost=dice.random() < 0.5)
            case "card":
                with world.kernel.lock:
                    for card in world.kernel.physical_functions():
                        world.kernel.set_pf_up(card, up=dice.random() < 0.5)
        wait_for_changes()
        world.neutron.unreachable = False
        with world.kernel.lock:
            for card in world.kernel.physical_functions():
                world.kernel.set_pf_up(card, up=True)
        wait_for_changes()

    return trouble


def _until(over: threading.Event, duty: Callable[[], None]) -> None:
    """Do a duty again and again, until it is over or the daemon is killed."""
    with suppress(Killed):
        while not over.is_set():
            duty()


def _in_turn(lock: threading.RLock, hand: Callable[..., object]) -> Callable[..., object]:
    """The fake kernel lets only its own calls take turns; hands must when several threads have some."""

    @wraps(hand)
    def in_turn(*args: object, **kwargs: object) -> object:
        with lock:
            return hand(*args, **kwargs)

    return in_turn
