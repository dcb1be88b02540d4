"""A daemon that is killed, refused or left without a reply at any call of a container's life loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from attach_faults import DOCKER, JOURNAL, Faults, Point, turning_points
from attach_world import CONTAINER, HOST, KINDS, SERVICE, World
from structlog.testing import capture_logs

from mooring.attach.types import Lease
from mooring.errors import MooringError

pytestmark = pytest.mark.exhaustive

# Longer than anything is waited for; and each may wait for another.
_A_WHILE_S = 300
_PATIENCE = 4
# A port of mooring's own making: but for its deletion it is treated as any other.
CREATED = "created"
# Of what the user wrote, mooring overwrites one key while it has the port, or none.
PROFILE = {"note": "the user's", "physical_network": "physnet2"}
LIVES: Mapping[str, tuple[str, Mapping[str, object]]] = {
    **KINDS,
    CREATED: ("normal", {"created": True, "vnic_type": "direct"}),
    "bound direct": ("direct", {}),
    "bound normal": ("normal", {}),
}


@dataclass(slots=True)
class Container:
    """A container of Docker's with one port of some kind, from its start to its removal."""

    world: World
    kind: str
    name: str
    lease: Lease | None = field(default=None)

    @property
    def runs(self) -> bool:
        return self.name in (self.world.containers or ())

    @property
    def is_bound(self) -> bool:
        """Tell whether a controller has bound its port, and unbinds it, too."""
        return self.kind.startswith("bound")

    def live(self) -> None:
        """Be started, reported up and removed in good order."""
        self._live(self.world.core.settlement.settle)

    def live_on(self) -> None:
        """Be started, stay for a round of the housekeeper's, and be removed in good order."""
        self._live(self.world.core.round)

    def _live(self, meanwhile: Callable[[], None]) -> None:
        vnic_type, wishes = LIVES[self.kind]
        port = (
            self.world.bound_port(vnic_type=vnic_type)
            if self.is_bound
            else self.world.port(vnic_type=vnic_type, profile=PROFILE)
        )
        self.world.run(port, self.name, **wishes)
        self.lease = self.world.core.engine.find(self.name)
        meanwhile()
        assert self.lease is not None
        self.world.leave(self.lease)
        self.world.core.engine.detach(self.name)
        self.world.core.settlement.settle()

    def is_well(self) -> bool:
        """Tell whether its port is as a running container's must be."""
        lease = self.world.core.engine.find(self.name)
        assert lease is not None
        assert self.world.check(self.name) == ()
        port = self.world.neutron.now(lease.port.id)
        is_up = port.status == "ACTIVE" or lease.vnic_type == "normal"
        return is_up and (port.host, port.device_id) == (HOST, CONTAINER if self.is_bound else self.name)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A host with one VF: whatever is wrong with it, the next container meets."""
    world = World(tmp_path)
    other, card = world.kernel.physical_functions()
    for device in (other, *card.vfs[1:]):
        world.kernel.unplug(device)
    world.containers = set()
    with capture_logs():  # thousands of lines, which take their time to print
        yield world
    world.kill()


@pytest.fixture
def faults(world: World, monkeypatch: pytest.MonkeyPatch) -> Faults:
    return Faults(world, monkeypatch)


def docker_calls_late(container: Container) -> None:
    """The daemon returns, and Docker removes the container, running or not, but cannot be asked for it before."""
    world, runs = container.world, container.runs
    world.containers = None
    world.start()
    if runs:
        world.later()
        assert container.is_well()
        lease = world.core.engine.find(container.name)
        assert lease is not None
        world.leave(lease)
    world.core.engine.detach(container.name)
    world.core.engine.detach(container.name)


def docker_never_calls(container: Container) -> None:
    """The container was killed while the daemon was away, and Docker never tells."""
    _is_gone(container)
    container.world.start()


def docker_starts_it_again(container: Container) -> None:
    """The container's start failed, or it was killed, and it is started anew at once with the same port.

    Docker does not answer afterwards, so that nobody knows an orphaned port for one: there must be none.
    """
    world = container.world
    _is_gone(container)
    world.start()
    world.core.engine.detach(container.name)
    again = Container(world, container.kind, f"{container.name}-again")
    with suppress(MooringError):
        again.live()
    world.core.engine.detach(again.name)
    world.containers = None


def the_host_reboots(container: Container) -> None:
    """The host was reset: no container, no VF and no link outlives that."""
    world = container.world
    if container.runs and container.lease is not None and container.lease.vf_driver:
        world.die(container.lease)
    world.kernel.reboot()
    assert world.containers is not None
    world.containers.clear()
    world.start()


def neutron_is_away(container: Container) -> None:
    """Neutron does not answer when the daemon returns, and not for a while; another start gives up before it binds.

    Docker does not answer afterwards, so that nobody knows an orphaned port for one: there must be none.
    """
    world = container.world
    _is_gone(container)
    world.neutron.unreachable = True
    with suppress(MooringError):
        world.start()
    world.core.engine.detach(container.name)
    world.neutron.unreachable = False
    requests = [world.request(world.neutron.now(port), "in vain") for port in world.neutron.server.tables["ports"]]
    world.neutron.unreachable = True
    for request in requests:
        world.core.engine.lease(request)
        world.core.engine.detach(request.attachment)
    world.containers = None
    world.neutron.unreachable = False


def _is_gone(container: Container) -> None:
    if container.runs:
        assert container.lease is not None
        container.world.die(container.lease)


def assert_clean(world: World, when: str) -> None:
    for _ in range(_PATIENCE):
        world.later(_A_WHILE_S, rounds=1)
        if not (unclean := world.unclean()):
            break
    assert unclean == [], when
    assert world.catalogue.names == [], when
    for port in tuple(world.neutron.server.tables["ports"].values()):
        if port["device_owner"] == SERVICE:
            assert (port["binding:host_id"], port["device_id"]) == (HOST, CONTAINER), when
        world.neutron.drop_port(port["id"])


def calls_of_a_life(
    world: World, faults: Faults, kind: str, life: Callable[[Container], None] = Container.live
) -> list[Point]:
    """Return what every further life will be made of: the host's first one may find something to record."""
    life(Container(world, kind, "first"))
    assert_clean(world, "first")
    points = faults.walk(partial(life, Container(world, kind, "second")))
    assert_clean(world, "second")
    assert {JOURNAL, "neutron", "kernel", DOCKER} <= {point.neighbour for point in points}
    return points


AFTERWARDS = [docker_calls_late, docker_never_calls, docker_starts_it_again, the_host_reboots, neutron_is_away]


@pytest.mark.parametrize(
    ("kind", "afterwards"),
    [(kind, then) for then in AFTERWARDS for kind in LIVES if kind != CREATED or then is docker_never_calls],
)
def test_a_daemon_killed_at_any_call_leaves_nothing_behind(
    world: World, faults: Faults, kind: str, afterwards: Callable[[Container], None]
) -> None:
    points = calls_of_a_life(world, faults, kind, Container.live_on)

    for number in [*turning_points(points), len(points) + 1]:
        world.containers = set()
        container = Container(world, kind, f"endpoint-{number}")
        with faults.killing(number) as fate:
            container.live_on()
        world.kill()
        afterwards(container)
        assert_clean(world, f"killed at call {number}, {points[number - 1] if fate.came else 'the end'}"[:300])
    assert not fate.came


@pytest.mark.parametrize("kind", ["direct", "vfio", "normal"])
def test_a_daemon_killed_again_while_it_recovers_leaves_nothing_behind(world: World, faults: Faults, kind: str) -> None:
    points = calls_of_a_life(world, faults, kind)

    for number in turning_points(points):
        second = 0
        while True:
            container = Container(world, kind, f"endpoint-{number}-{second}")
            with faults.killing(number):
                container.live()
            world.kill()
            _is_gone(container)
            if second == 0:
                turns = iter(turning_points(faults.walk(world.start)))
            else:
                with faults.killing(second):
                    world.start()
                world.kill()
                world.start()
            assert_clean(world, f"killed at calls {number} and {second}")
            if (second := next(turns, 0)) == 0:
                break


@pytest.mark.parametrize("kind", LIVES)
@pytest.mark.parametrize("reply_lost", [False, True], ids=["refused", "reply-lost"])
def test_a_call_that_fails_once_leaves_nothing_behind(
    world: World, faults: Faults, kind: str, *, reply_lost: bool
) -> None:
    points = calls_of_a_life(world, faults, kind)

    for number, point in enumerate(points, start=1):
        if point.neighbour == DOCKER or (reply_lost and point.neighbour == JOURNAL):
            continue
        world.containers = set()
        container = Container(world, kind, f"endpoint-{number}")
        with faults.failing(number, reply_lost=reply_lost) as fate, suppress(MooringError):
            container.live()
        assert fate.came
        if container.runs:
            assert container.lease is not None
            world.leave(container.lease)
        world.core.engine.detach(container.name)
        world.containers = None
        assert_clean(world, f"failed call {point.name} ({number})")
