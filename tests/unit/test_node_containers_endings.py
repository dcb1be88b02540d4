"""Containers that the engine removes when they end: each is run once, whatever gets lost on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from containers_world import IMAGE, UUID, VFS, World

from mooring.container.spec import ContainerSpec
from mooring.container.states import Status, Verb
from mooring.errors import EngineRefused, EngineUnreachable

PASSING = ContainerSpec(name="job", image=IMAGE, auto_remove=True)


class Killed(BaseException):
    """The daemon ends here."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def lose_the_reply(world: World, name: str, *, killed: bool = False, then: Callable[[], None]) -> None:
    """Let the next call of a name be carried out and its reply be lost, or the daemon with it, after something else."""
    really = getattr(world.docker, name)

    def call(*arguments: object) -> None:
        setattr(world.docker, name, really)
        really(*arguments)
        then()
        if killed:
            raise Killed
        raise EngineUnreachable("unix:///fake/docker.sock", "the reply was lost")

    setattr(world.docker, name, call)


def end(world: World) -> None:
    """Let the container end, which the engine removes then."""
    if UUID in world.docker.by_uuid:
        world.docker.end(UUID)


def carry_out(world: World, *, killed: bool) -> None:
    if not killed:
        world.settle()
        return
    with pytest.raises(Killed):
        world.settle()
    world.restart()
    world.settle()


def starts(world: World) -> int:
    return world.docker.calls.count("start")


@pytest.mark.parametrize("killed", [False, True], ids=["reply-lost", "daemon-killed"])
def test_a_container_that_ended_before_its_start_was_answered_is_not_made_again(world: World, *, killed: bool) -> None:
    world.controller.want(Verb.CREATE, world.interface(), spec=PASSING, run=True)
    lose_the_reply(world, "start", killed=killed, then=lambda: end(world))

    carry_out(world, killed=killed)

    assert (starts(world), world.docker.calls.count("create"), world.docker.by_uuid) == (1, 1, {})
    done = world.told().done
    assert done is not None
    assert (done.number, done.failure, world.told().status) == (1, None, Status.DELETED)
    assert world.host.core.journal.leases() == ()


@pytest.mark.parametrize("verb", [Verb.START, Verb.REBUILD])
@pytest.mark.parametrize("killed", [False, True], ids=["reply-lost", "daemon-killed"])
def test_neither_is_one_that_is_started_or_rebuilt_later(world: World, verb: Verb, *, killed: bool) -> None:
    world.controller.want(Verb.CREATE, world.interface(), spec=PASSING)
    world.settle()
    made = world.docker.calls.count("create")
    world.controller.want(verb, **({"run": True} if verb is Verb.REBUILD else {}))
    lose_the_reply(world, "start", killed=killed, then=lambda: end(world))

    carry_out(world, killed=killed)

    assert (starts(world), world.docker.by_uuid) == (1, {})
    assert world.docker.calls.count("create") - made == (verb is Verb.REBUILD)
    done = world.told().done
    assert done is not None
    assert done.failure is None


@pytest.mark.parametrize("verb", [Verb.STOP, Verb.KILL])
@pytest.mark.parametrize("killed", [False, True], ids=["reply-lost", "daemon-killed"])
def test_one_that_was_to_be_ended_and_is_gone_has_been_ended(world: World, verb: Verb, *, killed: bool) -> None:
    world.controller.want(Verb.CREATE, world.interface(), spec=PASSING, run=True)
    world.settle()
    assert world.told().status is Status.RUNNING
    world.controller.want(verb)
    lose_the_reply(world, verb.value, killed=killed, then=lambda: end(world))

    carry_out(world, killed=killed)

    done = world.told().done
    assert done is not None
    assert (done.number, done.failure, world.told().status) == (2, None, Status.DELETED)


def test_one_that_still_runs_when_the_engine_answers_again_goes_on(world: World) -> None:
    world.controller.want(Verb.CREATE, world.interface(), spec=PASSING, run=True)
    lose_the_reply(world, "start", then=lambda: None)

    world.settle()

    assert (starts(world), world.told().status) == (1, Status.RUNNING)


def test_one_that_was_never_started_and_is_gone_is_made(world: World) -> None:
    world.controller.want(Verb.CREATE, world.interface(), spec=PASSING, run=True)
    lose_the_reply(world, "create", then=lambda: world.docker.remove(UUID))

    world.settle()

    assert (starts(world), world.told().status) == (1, Status.RUNNING)


@pytest.mark.parametrize("killed", [False, True], ids=["reply-lost", "daemon-killed"])
def test_a_reboot_keeps_it_and_is_made_once(world: World, *, killed: bool) -> None:
    world.controller.want(Verb.CREATE, world.interface(), spec=PASSING, run=True)
    world.settle()
    world.controller.want(Verb.REBOOT)
    lose_the_reply(world, "restart", killed=killed, then=lambda: None)

    carry_out(world, killed=killed)

    done = world.told().done
    assert done is not None
    assert (done.number, done.failure, world.told().status) == (2, None, Status.RUNNING)
    assert world.docker.calls.count("restart") == 1
    (endpoint,) = world.docker.living()
    assert world.host.check(endpoint) == ()


def test_a_reboot_does_not_bring_back_a_port_that_is_not_wanted(world: World) -> None:
    first, second = world.interface(), world.interface("direct", VFS[1])
    world.controller.want(Verb.CREATE, first, second, spec=PASSING, run=True)
    world.settle()

    world.controller.want(Verb.REBOOT, first)
    world.settle()

    assert (world.told().status, world.told().attached) == (Status.RUNNING, (first.port.id,))


@pytest.mark.parametrize("is_shown", [False, True], ids=["port-refused", "route-in-the-way"])
def test_a_reboot_that_a_failed_connection_would_end_is_refused_and_the_container_goes_on(
    world: World, *, is_shown: bool
) -> None:
    first, second = world.interface(), world.interface("direct", VFS[1])
    world.controller.want(Verb.CREATE, first, spec=PASSING, run=True)
    world.settle()
    if is_shown:
        world.docker.conflicting.add(f"mooring-01-{second.network.id}")
    else:
        world.host.core.journal.quarantine(VFS[1], "it did not come clean")
    world.controller.want(Verb.ATTACH, first, second)
    world.settle()
    # As the controller takes back what could not be attached.
    world.neutron.unbind(second.port, restore={})

    world.controller.want(Verb.REBOOT, first)
    world.settle()

    assert "is not connected to network" in world.failure().message
    assert (world.told().status, world.told().attached) == (Status.RUNNING, (first.port.id,))
    (endpoint,) = world.docker.living()
    assert world.host.check(endpoint) == ()


@pytest.mark.parametrize("verb", [Verb.CREATE, Verb.START])
def test_a_start_that_is_refused_has_failed_though_nothing_of_the_container_is_left(world: World, verb: Verb) -> None:
    def refuse(uuid: str) -> None:
        world.docker.by_uuid.pop(uuid)
        raise EngineRefused("starting", 400, "exec: no such file")

    if verb is Verb.START:
        world.controller.want(Verb.CREATE, spec=PASSING)
        world.settle()
    world.docker.start = refuse  # type: ignore[method-assign]

    world.controller.want(verb, spec=PASSING, run=True)
    world.settle()

    assert "no such file" in world.failure().message
