"""Whatever call of an operation is refused, not answered or cut off by a kill: the end is the same, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from containers_world import IMAGE, UUID, VFS, World
from structlog.testing import capture_logs

from mooring.container.spec import ContainerSpec
from mooring.container.states import Status, Verb
from mooring.errors import EngineRefused, EngineUnreachable

pytestmark = pytest.mark.exhaustive


class Killed(BaseException):
    """The daemon was killed."""


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[Callable[[], World]]:
    """Make hosts that are all alike."""
    made: list[World] = []

    def make() -> World:
        if made:
            made.pop().close()
        state = tmp_path / f"host-{len(list(tmp_path.iterdir()))}"
        state.mkdir()
        made.append(World(state))
        return made[-1]

    with capture_logs():
        yield make
    for world in made:
        world.close()


def created(world: World) -> None:
    world.docker.images.discard(IMAGE)
    world.docker.registry.add(IMAGE)
    world.controller.want(Verb.CREATE, world.interface("direct", VFS[0]), world.interface("macvtap", VFS[1]), run=True)


def started(world: World) -> None:
    created(world)
    world.settle()
    assert world.told().status is Status.RUNNING


def stopped(world: World) -> None:
    started(world)
    world.controller.want(Verb.STOP)
    world.settle()


def nothing_before(_world: World) -> None:
    """Begin with an empty host."""


def wants_attach(world: World) -> None:
    world.controller.want(Verb.ATTACH, *world.controller.wanted[UUID].interfaces, world.interface("direct", VFS[2]))


def wants_detach(world: World) -> None:
    first, second = world.controller.wanted[UUID].interfaces
    world.controller.want(Verb.DETACH, first, port=second.port.id)


def wants_rebuild(world: World) -> None:
    world.docker.images.add("other")
    world.controller.want(Verb.REBUILD, spec=ContainerSpec(name="web", image="other"))


def wants(verb: Verb) -> Callable[[World], None]:
    return lambda world: world.controller.want(verb)


OPERATIONS: dict[str, tuple[Callable[[World], None], Callable[[World], None]]] = {
    "create": (nothing_before, created),
    "start": (stopped, wants(Verb.START)),
    "stop": (started, wants(Verb.STOP)),
    "reboot": (started, wants(Verb.REBOOT)),
    "pause": (started, wants(Verb.PAUSE)),
    "kill": (started, wants(Verb.KILL)),
    "update": (started, wants(Verb.UPDATE)),
    "rebuild": (started, wants_rebuild),
    "attach": (started, wants_attach),
    "detach": (started, wants_detach),
    "delete": (started, wants(Verb.DELETE)),
}


LOOKS = frozenset({"containers", "find", "host", "networks", "has_image"})


def state(world: World) -> object:
    """Return what a user or an operator would notice, but for ids and times."""
    container = world.docker.by_uuid.get(UUID)
    seen = None
    if container is not None:
        names = {item.port.id: item.device for item in world.controller.wanted[UUID].interfaces}
        ports = [names.get(str(port)) for port in container.links.values()]
        seen = container.plan.spec.image, container.found.state, ports, container.limits, len(container.signals)
    leases = [(lease.device, lease.step, lease.is_bound) for lease in world.host.core.journal.leases()]
    done = world.told().done
    sights = [world.host.check(endpoint) for endpoint in world.docker.living()]
    starts = next(world.docker._starts)
    return seen, leases, len(world.docker.nets), len(world.docker.living()), world.told().status, done, sights, starts


def undisturbed(worlds: Callable[[], World], name: str) -> tuple[object, list[int]]:
    """Return how an operation ends when nothing happens, and the numbers of those calls that change something.

    A daemon that is killed at any other call finds what it finds after the change before.
    """
    before, wish = OPERATIONS[name]
    world = worlds()
    before(world)
    wish(world)
    began = len(world.docker.calls)
    world.settle()
    calls = [number for number, call in enumerate(world.docker.calls[began:], start=1) if call not in LOOKS]
    return state(world), calls


def delete(world: World) -> None:
    """Have the container deleted, and forget it, as the controller does once the node has confirmed."""
    world.controller.want(Verb.DELETE)
    for _ in range(2):
        with suppress(EngineRefused, EngineUnreachable):
            world.settle()
    assert world.told().status is Status.DELETED
    del world.controller.wanted[UUID]
    world.settle()


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_daemon_killed_before_or_after_any_change_comes_to_the_same_end(
    worlds: Callable[[], World], name: str
) -> None:
    before, wish = OPERATIONS[name]
    end, calls = undisturbed(worlds, name)

    # Before the next change it is as after this one.
    for number, after in [*((number, False) for number in calls), (calls[-1], True)]:
        world = worlds()
        before(world)
        wish(world)
        world.docker.fail_call(number, reply_lost=after, error=Killed())
        with suppress(Killed):
            world.settle()
        world.restart()
        world.settle()

        assert state(world) == end, f"killed at call {number}: {world.docker.calls}"
        delete(world)
        assert world.left() == [], f"killed at call {number}"


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_answer_that_is_lost_changes_nothing_in_the_end(worlds: Callable[[], World], name: str) -> None:
    before, wish = OPERATIONS[name]
    end, calls = undisturbed(worlds, name)

    for number in calls:
        world = worlds()
        before(world)
        wish(world)
        world.docker.fail_call(number, reply_lost=True)
        with suppress(EngineUnreachable):
            world.settle()
        world.settle()

        assert state(world) == end, f"the answer to call {number} was lost: {world.docker.calls}"
        delete(world)
        assert world.left() == [], f"the answer to call {number} was lost"


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_call_that_is_refused_fails_the_operation_or_nothing_and_leaves_nothing_in_the_end(
    worlds: Callable[[], World], name: str
) -> None:
    before, wish = OPERATIONS[name]
    end, calls = undisturbed(worlds, name)

    for number in calls:
        world = worlds()
        before(world)
        wish(world)
        world.docker.fail_call(number)
        with suppress(EngineRefused):
            world.settle()
        world.settle()

        done = world.told().done
        assert done is not None
        if done.failure is None:
            assert state(world) == end, f"call {number} was refused: {world.docker.calls}"
        elif name == "create":
            assert (world.told().status, world.docker.nets) == (Status.DELETED, {})
        delete(world)
        assert world.left() == [], f"call {number} was refused"


def test_a_delete_at_any_moment_of_a_create_that_was_cut_off_leaves_nothing(worlds: Callable[[], World]) -> None:
    _, calls = undisturbed(worlds, "create")

    for number in calls:
        world = worlds()
        created(world)
        world.docker.fail_call(number, error=Killed())
        with suppress(Killed):
            world.settle()
        world.controller.want(Verb.DELETE)
        world.restart()
        world.settle()

        assert world.told().status is Status.DELETED
        del world.controller.wanted[UUID]
        world.settle()
        assert world.left() == [], f"killed at call {number}"
