"""What can befall a daemon at each call that it makes: killed, refused, or not told that it was done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

import pytest
from attach_world import World

from mooring.errors import (
    KernelRefused,
    MooringError,
    NeutronRefused,
    NeutronUnreachable,
    StateFileUnusable,
    SwitchRefused,
)
from mooring.host.kernel import Kernel
from mooring.host.virtual import Switch, VirtualLinks
from mooring.neutron.api import NeutronBus
from mooring.statefile import StateFile

DOCKER = "docker"
JOURNAL = "journal"
_EIO = 5
_DOCKERS_HANDS = (
    *("move_to_container", "move_link_to_container", "move_pf_to_container", "open_vfio"),
    *("move_to_host", "move_link_to_host", "pf_comes_home", "close_vfio"),
)


class Killed(BaseException):
    """The daemon was killed. Whatever it still tries has no effect, and nothing may take this for a failure."""


@dataclass(frozen=True, slots=True)
class Point:
    """One call: its number, whom it was made of, what was asked, and the world as it was just before."""

    number: int
    neighbour: str
    name: str
    world: object


@dataclass(slots=True)
class Fate:
    """What befalls the call with a number, before or after it takes effect. ``came`` tells that it was made."""

    number: int
    after: bool
    kills: bool
    came: bool = False


class Faults:
    """Stands between a world's daemon and all its neighbours: kernel, links, switch, Neutron, bus, Docker, journal.

    Docker's own doings with interfaces count as calls, too: a daemon may be killed between an answer of its and what
    Docker does then.
    """

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._nested = threading.local()
        self._watching = False
        self._calls = 0
        self._points: list[Point] | None = None
        self._fate: Fate | None = None
        self._dead = False
        self._watch(world.kernel, "kernel", [*_methods(Kernel), *_methods(VirtualLinks)])
        self._watch(world.kernel, DOCKER, _DOCKERS_HANDS)
        self._watch(world.switch, "switch", _methods(Switch))
        self._watch(world.neutron, "bus", [name for name in _methods(NeutronBus) if name.startswith("report")])
        self._watch(world.neutron.server, "neutron", ["send"])
        self._watch(world.catalogue, "catalogue", ["write"])
        self._watch(world, DOCKER, ["living"])
        monkeypatch.setattr(StateFile, "transaction", self._transaction(StateFile.transaction))

    @property
    def calls(self) -> int:
        """How many calls were made in the last watch."""
        return self._calls

    def walk(self, life: Callable[[], None]) -> list[Point]:
        """Live through a life undisturbed, and return every call that was made."""
        self._points = []
        with self._watched():
            life()
        points, self._points = self._points, None
        return points

    @contextmanager
    def killing(self, number: int) -> Iterator[Fate]:
        """Kill the daemon just before the n-th call of the body, if it makes as many."""
        fate = Fate(number, after=False, kills=True)
        with self._befalling(fate):
            try:
                yield fate
            except Killed:
                assert fate.came
            else:
                assert not fate.came, "somebody has swallowed the kill"

    @contextmanager
    def failing(self, number: int, *, reply_lost: bool) -> Iterator[Fate]:
        """Let the n-th call of the body fail: refused, or done and its reply lost."""
        fate = Fate(number, after=reply_lost, kills=False)
        with self._befalling(fate):
            yield fate

    @contextmanager
    def _befalling(self, fate: Fate) -> Iterator[None]:
        self._fate = fate
        try:
            with self._watched():
                yield
        finally:
            self._fate, self._dead = None, False

    @contextmanager
    def _watched(self) -> Iterator[None]:
        self._calls, self._watching = 0, True
        try:
            yield
        finally:
            self._watching = False

    def _watch(self, target: object, neighbour: str, names: Iterable[str]) -> None:
        for name in names:
            setattr(target, name, self._watched_call(neighbour, getattr(target, name)))

    def _watched_call(self, neighbour: str, call: Callable[..., object]) -> Callable[..., object]:
        @wraps(call)
        def watched(*args: object, **kwargs: object) -> object:
            with self._call(neighbour, str(args[0]) if neighbour == "neutron" else call.__name__):
                return call(*args, **kwargs)

        return watched

    def _transaction(self, begin: Callable[..., AbstractContextManager[Any]]) -> Callable[..., Any]:
        @contextmanager
        def transaction(file: StateFile, **how: bool) -> Iterator[Any]:
            if getattr(self._nested, "deep", False):
                with begin(file, **how) as db:
                    yield db
                return
            self._nested.deep = True
            try:
                with self._call(JOURNAL, "commit"), begin(file, **how) as db:
                    yield db
            finally:
                self._nested.deep = False

        return transaction

    @contextmanager
    def _call(self, neighbour: str, name: str) -> Iterator[None]:
        fate = self._count(neighbour, name)
        if fate is not None and not fate.after:
            raise Killed if fate.kills else _failure(neighbour, name)
        yield
        if fate is not None and fate.after:
            raise _lost_reply(neighbour, name)

    def _count(self, neighbour: str, name: str) -> Fate | None:
        """Count a call; return its fate if it is its turn."""
        if not self._watching:
            return None
        with self._lock:
            if self._dead:
                raise Killed
            self._calls += 1
            if self._points is not None:
                self._watching = False
                self._points.append(Point(self._calls, neighbour, name, _state(self._world)))
                self._watching = True
            if self._fate is None or self._calls != self._fate.number:
                return None
            self._fate.came = True
            self._dead = self._fate.kills
            return self._fate


def turning_points(points: list[Point]) -> list[int]:
    """Return the numbers of the calls before which the world is another than before the call before.

    A kill at any other call finds the world as a kill at an earlier one does, and what the daemon had in mind dies
    with it. A kill after a call has taken effect is one before the next call.
    """
    return [
        point.number
        for before, point in zip([None, *points], points, strict=False)
        if before is None or before.world != point.world
    ]


def _state(world: World) -> object:
    journal = world.core.journal
    return (
        world.kernel.state(),
        repr(world.switch.state()),
        repr(world.neutron.server.tables["ports"]),
        (journal.leases(), journal.debts(), journal.quarantined()),
        world.catalogue.devices,
        frozenset(world.containers or ()),
    )


def _failure(neighbour: str, name: str) -> MooringError:
    match neighbour:
        case "switch":
            return SwitchRefused(name, "it was made to fail")
        case "neutron":
            return NeutronRefused(name, 500, "it was made to fail")
        case "bus":
            return NeutronUnreachable(name, "it was made to fail")
        case _ if neighbour == JOURNAL:
            return StateFileUnusable("node.sqlite", "the disk is full", "make room")
        case _:
            return KernelRefused(name, f"the fake {neighbour}", _EIO, "it was made to fail")


def _lost_reply(neighbour: str, name: str) -> MooringError:
    """Return what the daemon sees where a neighbour has done as it was told and does not say so."""
    return NeutronUnreachable(name, "the reply was lost") if neighbour == "neutron" else _failure(neighbour, name)


def _methods(protocol: type) -> list[str]:
    return [name for name in vars(protocol) if not name.startswith("_") and name != "events"]
