from __future__ import annotations

import pytest
from controller_world import World

from mooring.container.model import Container
from mooring.container.states import Status
from mooring.errors import BusUnavailable, ContainerNotFound, HostNotFound, WrongState
from mooring.rpc.messages import LogQuery
from mooring.testing.nodes import FakeNode, card


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def node(world: World) -> FakeNode:
    return world.add_host()


@pytest.fixture
def container(world: World, node: FakeNode) -> Container:
    del node
    return world.running(name="edge")


def test_the_containers_node_answers(world: World, container: Container) -> None:
    inside, caller = world.inside, world.caller()

    assert inside.execute(caller, "edge", ["ls", "-l"]).text == "ls -l"
    assert inside.logs(caller, "edge", LogQuery(tail=5)) == "cirros, 5"
    assert inside.top(caller, "edge", "aux").titles == ("PID", "aux")
    told, usage = inside.stats(caller, "edge")
    assert (told.uuid, usage.memory_limit_bytes) == (container.uuid, 2)
    assert inside.get_archive(caller, "edge", "/etc").stat == {"name": "/etc"}
    inside.put_archive(caller, "edge", "/etc", "")
    assert inside.commit(caller, "edge", "edge", "v1") == "sha256:edge:v1"
    inside.resize_terminal(caller, "edge", width=80, height=24)


def test_others_containers_and_wrong_states_are_refused_before_a_node_is_asked(
    world: World, node: FakeNode, container: Container
) -> None:
    node.is_away = True
    with pytest.raises(ContainerNotFound):
        world.inside.execute(world.caller("another"), container.uuid, ["ls"])
    node.is_away = False
    node.containers[container.uuid].status = Status.STOPPED
    world.sync()
    node.is_away = True
    with pytest.raises(WrongState, match="Stopped"):
        world.inside.execute(world.caller(), "edge", ["ls"])


def test_what_failed_to_come_to_be_has_no_logs(world: World) -> None:
    failed = world.create(world.add_port())
    world.settle()

    with pytest.raises(WrongState, match="on no host"):
        world.inside.logs(world.caller(), failed.uuid, LogQuery())


def test_a_node_that_does_not_answer_is_told(world: World, node: FakeNode, container: Container) -> None:
    del container
    node.is_away = True

    with pytest.raises(BusUnavailable):
        world.inside.top(world.caller(), "edge", None)


def test_images_are_those_of_the_hosts_that_answer(world: World, node: FakeNode, container: Container) -> None:
    del node, container
    world.add_host("host-2", *card(2)).is_away = True

    assert [(host, image.repository) for host, image in world.inside.images(None)] == [("host-1", "cirros")]
    assert world.inside.images("host-2") == ()
    assert world.inside.pull("alpine", "host-1").repository == "alpine"
    with pytest.raises(HostNotFound):
        world.inside.pull("alpine", "host-9")
