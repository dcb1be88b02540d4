"""Two at the same time: controllers, users, and hosts that refuse."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from controller_world import World
from last_vf_contract import LastVfContract

from mooring.container.model import Container
from mooring.container.states import Status, Verb
from mooring.controller.api import NetworkWish
from mooring.db.api import ContainerQuery
from mooring.db.store import SqlStore
from mooring.errors import PortBusy
from mooring.neutron.model import Port
from mooring.testing.nodes import card

pytestmark = pytest.mark.exhaustive


@contextmanager
def at_moment(world: World, number: int, act: Callable[[], object], *, after: bool) -> Iterator[list[str]]:
    """Let somebody act right before or after the n-th thing that workers do to Neutron or the database from now on."""
    send, done, lock = world.neutron.server.send, [], threading.RLock()

    def reached(name: str) -> None:
        with lock:
            done.append(name)
            if len(done) == number:
                act()

    def watched(operation: str, *arguments: object, **options: object) -> object:
        if not after:
            reached(operation)
        answer = send(operation, *arguments, **options)
        if after:
            reached(operation)
        return answer

    world.neutron.server.send = watched
    world.store.before_write = reached
    try:
        yield done
    finally:
        world.neutron.server.send = send
        world.store.before_write = lambda _: None


def a_world() -> tuple[World, Port]:
    world = World()
    world.add_host(vfs=1)
    world.add_network("plain", project_id="demo", physical_network=None)
    return world, world.add_port()


def steps_of_a_creation() -> int:
    world, port = a_world()
    world.create(port, nets=[NetworkWish(network="plain")])
    with at_moment(world, 0, lambda: None, after=False) as done:
        world.settle()
    return len(done)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, steps_of_a_creation() + 1))
def test_a_container_may_be_deleted_at_every_moment_of_its_creation(number: int, *, after: bool) -> None:
    world, port = a_world()
    container = world.create(port, nets=[NetworkWish(network="plain")])
    other = world.another_controller()

    def delete() -> None:
        """Delete it by way of another controller, whose worker does all of that which it can at once."""
        world.neutron.server.send, watched = sends[0], world.neutron.server.send
        other.lifecycle.delete(world.admin(), container.uuid, force=True)
        while other.worker.work():
            pass
        world.neutron.server.send = watched

    sends = [world.neutron.server.send]
    with at_moment(world, number, delete, after=after):
        world.settle()
    world.come_to_rest()

    assert world.is_gone(container)
    assert world.nodes.on("host-1").containers == {}
    world.check_nothing_left(port)


@pytest.mark.parametrize("number", range(1, steps_of_a_creation() + 1))
def test_two_workers_on_one_container_do_what_one_would_have_done(number: int) -> None:
    world, port = a_world()
    container = world.create(port, nets=[NetworkWish(network="plain")])
    other = world.another_controller()

    def take_over() -> None:
        """Let another worker believe that the first one has died, and do all the rest."""
        world.clock.pass_(seconds=91)
        while other.worker.work():
            pass

    with at_moment(world, number, take_over, after=False):
        world.settle()
    world.come_to_rest()

    running = world.now(container)
    assert running.status is Status.RUNNING
    assert [each.port_id for each in running.interfaces if not each.preserve] == world.made_ports()
    assert len(world.claims()) == 1
    assert world.neutron.now(port.id).device_id == container.uuid
    assert [verb for _, _, verb in world.nodes.on("host-1").carried_out] == [Verb.CREATE]


def test_of_two_who_create_with_one_port_the_second_is_refused_and_nothing_of_his_is_left() -> None:
    world, port = a_world()
    first = world.create(port)

    with pytest.raises(PortBusy, match=first.uuid):
        world.create(port, name="second")

    assert [each.uuid for each in world.store.containers(ContainerQuery())] == [first.uuid]


def test_a_port_that_somebody_takes_in_neutron_first_is_not_the_containers() -> None:
    world, port = a_world()
    container = world.create(port)
    world.neutron.change_port(port.id, device_id="server-1", device_owner="compute:nova")

    world.settle()

    failed = world.now(container)
    assert failed.status is Status.ERROR
    assert "server-1" in (failed.status_reason or "")
    assert "server-1" in (world.message(container) or "")
    assert world.neutron.now(port.id).device_id == "server-1"
    assert world.claims() == []


class TestLastVf(LastVfContract):
    @pytest.fixture
    def stores(self, tmp_path: Path) -> Iterator[tuple[SqlStore, SqlStore]]:
        # In memory there is one connection, so nobody races.
        url = f"sqlite:///{tmp_path}/service.sqlite"
        with closing(SqlStore(url)) as first, closing(SqlStore(url)) as second:
            yield first, second


def refused_on_one(world: World, port: Port) -> Container:
    container = world.create(port)
    world.settle()
    return world.now(container)


def test_a_node_that_refuses_leads_to_another_host() -> None:
    world = World()
    nodes = {name: world.add_host(name, *card(number + 1)) for number, name in enumerate(("host-1", "host-2"))}
    for node in nodes.values():
        node.refusal = "VF 0000:01:10.0 is not clean"
    port = world.add_port()
    container = world.create(port)
    first_tried = next_host(world, container)
    nodes[first_tried].sync(world.reports)
    other = "host-2" if first_tried == "host-1" else "host-1"
    nodes[other].refusal = None
    world.settle()

    running = world.now(container)
    assert (running.status, running.host) == (Status.RUNNING, other)
    assert running.tried == {first_tried: "VF 0000:01:10.0 is not clean"}
    assert world.neutron.now(port.id).host == other
    assert [device.host for device in world.claims()] == [other]
    assert ("create on " + first_tried, "Error") in world.events(container)
    assert world.message(container) is None


def next_host(world: World, container: Container) -> str:
    while world.worker.work():
        pass
    return world.now(container).host or ""


def test_when_no_host_is_left_the_container_says_what_each_of_them_said() -> None:
    world = World()
    for number, name in enumerate(("host-1", "host-2")):
        world.add_host(name, *card(number + 1)).refusal = f"{name} is not in the mood"
    port = world.add_port()

    container = refused_on_one(world, port)

    assert container.status is Status.ERROR
    assert "host-1 is not in the mood" in (container.status_reason or "")
    assert "host-2 is not in the mood" in (container.status_reason or "")
    assert world.message(container) == container.status_reason
    world.check_nothing_left(port)


def test_a_binding_that_fails_leads_to_another_host() -> None:
    world = World()
    for number, name in enumerate(("host-1", "host-2")):
        world.add_host(name, *card(number + 1))
    port = world.add_port()
    container = world.create(port)
    world.neutron.kill_agent("host-1")
    world.neutron.kill_agent("host-2")
    with at_moment(world, 0, lambda: None, after=True) as done:
        world.worker.work()
    assert done.count("bind_port") == 2

    failed = world.now(container)
    assert failed.status is Status.ERROR
    assert "could not be bound on host host-1" in (failed.status_reason or "")
    assert "could not be bound on host host-2" in (failed.status_reason or "")
    world.check_nothing_left(port)


def test_a_binding_that_one_host_cannot_have_is_had_on_the_other() -> None:
    world = World()
    for number, name in enumerate(("host-1", "host-2")):
        world.add_host(name, *card(number + 1))
    world.neutron.kill_agent("host-1")
    ports = [world.add_port(world.add_network(f"net-{number}", vlan=200 + number)) for number in range(4)]

    containers = [world.create(port, name=f"edge-{number}") for number, port in enumerate(ports)]
    world.settle()

    assert [world.now(container).host for container in containers] == ["host-2"] * 4


def test_a_lost_wake_delays_and_does_no_other_harm() -> None:
    world, port = a_world()
    world.nodes.on("host-1").is_deaf = True
    container = world.create(port)
    world.settle()
    assert world.now(container).status is Status.CREATING

    world.sync()

    assert world.now(container).status is Status.RUNNING


def test_a_report_of_a_host_that_has_the_container_no_more_is_not_believed() -> None:
    world = World()
    old, new = world.add_host("host-1", *card(1)), world.add_host("host-2", *card(2))
    port = world.add_port()
    container = world.create(port)
    host = next_host(world, container)
    first, second = (old, new) if host == "host-1" else (new, old)
    first.refusal = "not clean"
    first.sync(world.reports)
    late = first.report()
    world.settle()
    assert world.now(container).host == second.host

    world.reports.sync(late)

    assert world.now(container).status is Status.RUNNING
    assert world.now(container).host == second.host
