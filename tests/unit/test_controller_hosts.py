"""Hosts that are silent, boot anew or lose things, and what their containers become."""

from __future__ import annotations

import pytest
from controller_world import World

from mooring.container.states import Status, TaskState, Verb
from mooring.controller.hearing import GONE, hear
from mooring.neutron.model import UNBOUND
from mooring.rpc.messages import ContainerReport, Done
from mooring.testing.nodes import FakeNode, card


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def node(world: World) -> FakeNode:
    return world.add_host()


# Silence


def test_containers_of_a_silent_host_are_unknown_with_the_reason_until_it_reports_again(
    world: World, node: FakeNode
) -> None:
    container = world.running()
    world.clock.pass_(seconds=181)

    world.rounds.make()

    silent = world.now(container)
    assert silent.status is Status.UNKNOWN
    assert "host host-1 has not reported since 2026-08-01 12:" in (silent.status_reason or "")
    world.rounds.make()
    assert world.now(container).revision == silent.revision
    node.sync(world.reports)
    assert (world.now(container).status, world.now(container).status_reason) == (Status.RUNNING, None)


def test_what_stopped_while_its_host_was_silent_is_shown_as_stopped(world: World, node: FakeNode) -> None:
    container = world.running()
    world.clock.pass_(seconds=181)
    world.rounds.make()
    node.containers[container.uuid].status = Status.STOPPED

    node.sync(world.reports)

    assert world.now(container).status is Status.STOPPED


def test_a_deletion_outlives_its_hosts_silence(world: World, node: FakeNode) -> None:
    port = world.add_port()
    container = world.running(port)
    node.is_away = True
    world.delete(container)
    world.settle()
    world.clock.pass_(minutes=10)
    world.rounds.make()
    assert world.now(container).status is Status.UNKNOWN

    node.is_away = False
    world.come_to_rest()

    assert world.is_gone(container)
    world.check_nothing_left(port)


def test_by_force_a_container_goes_with_a_host_that_its_operator_has_given_up(world: World, node: FakeNode) -> None:
    port = world.add_port()
    container = world.running(port)
    node.is_away = True

    world.lifecycle.delete(world.admin(), container.uuid, force=True)
    world.settle()
    assert world.neutron.now(port.id).vif_type != UNBOUND
    world.store.set_host("host-1", forced_down=True)
    world.clock.pass_(seconds=31)
    world.settle()

    assert world.is_gone(container)
    world.check_nothing_left(port)
    # It was not gone after all: it is told to have nothing.
    node.is_away = False
    for _ in range(2):
        node.sync(world.reports)
    assert node.containers == {}


def test_force_does_not_make_up_for_the_word_of_a_host_that_may_come_back(world: World, node: FakeNode) -> None:
    container = world.running()
    node.is_away = True

    world.lifecycle.delete(world.admin(), container.uuid, force=True)
    for _ in range(20):
        world.settle()
        world.clock.pass_(minutes=1)
        world.rounds.make()

    assert not world.is_gone(container)
    assert len(world.claims()) == 1


def test_containers_of_a_host_that_is_forced_down_are_unknown_whatever_it_reports(world: World, node: FakeNode) -> None:
    container = world.running()
    world.store.set_host("host-1", forced_down=True)

    world.rounds.make()
    node.sync(world.reports)

    assert world.now(container).status is Status.UNKNOWN
    assert world.now(container).status_reason == "host host-1 was forced down"


def test_nothing_is_placed_on_a_silent_host(world: World, node: FakeNode) -> None:
    del node
    world.clock.pass_(minutes=10)

    container = world.create(world.add_port())
    world.settle()

    assert world.now(container).status is Status.ERROR
    assert "ComputeFilter" in (world.now(container).status_reason or "")


# Loss


def test_containers_follow_a_host_that_boots_anew(world: World, node: FakeNode) -> None:
    port = world.add_port()
    container = world.running(port)
    node.reboot()

    node.sync(world.reports)

    assert world.now(container).status is Status.STOPPED
    assert world.neutron.now(port.id).device_id == container.uuid
    world.lifecycle.start(world.caller(), container.uuid)
    world.settle()
    assert world.now(container).status is Status.RUNNING


def test_a_container_that_is_gone_from_its_host_says_so_and_can_be_made_anew(world: World, node: FakeNode) -> None:
    container = world.running()
    del node.containers[container.uuid]

    world.sync()

    assert (world.now(container).status, world.now(container).status_reason) == (Status.ERROR, GONE)
    world.lifecycle.rebuild(world.caller(), container.uuid, image=None, image_driver=None)
    world.settle()
    assert (world.now(container).status, world.now(container).status_reason) == (Status.RUNNING, None)
    assert world.now(container).devices == container.devices


@pytest.mark.parametrize("loss", ["container", "host"])
def test_what_heals_itself_is_made_anew_with_the_same_port_and_device(world: World, node: FakeNode, loss: str) -> None:
    port = world.add_port()
    container = world.running(port, auto_heal=True)
    bound = world.neutron.now(port.id)
    if loss == "container":
        del node.containers[container.uuid]
    else:
        node.lose_everything()

    for _ in range(3):
        world.sync()
        world.settle()

    healed = world.now(container)
    assert (healed.status, healed.devices) == (Status.RUNNING, container.devices)
    assert node.containers[container.uuid].ports == (port.id,)
    assert world.neutron.now(port.id) == bound


def test_what_cannot_be_healed_is_not_tried_for_ever(world: World, node: FakeNode) -> None:
    container = world.running(auto_heal=True)
    del node.containers[container.uuid]
    node.failure = "no space left on device"

    for _ in range(6):
        world.sync()

    assert (world.now(container).status, world.now(container).status_reason) == (
        Status.ERROR,
        "no space left on device",
    )
    assert [verb for _, _, verb in node.carried_out] == [Verb.CREATE, Verb.REBUILD]


def test_an_unhealthy_container_is_made_anew_where_it_is_to_heal_itself(world: World, node: FakeNode) -> None:
    container, other = world.running(auto_heal=True), world.create(world.add_port(), name="other")
    world.settle()
    for fake in node.containers.values():
        fake.health = "unhealthy"

    world.sync()
    world.settle()

    assert [uuid for uuid, _, verb in node.carried_out if verb is Verb.REBUILD] == [container.uuid]
    assert node.containers[container.uuid].health is None
    assert world.now(other).status is Status.RUNNING


@pytest.mark.parametrize("end", ["exit", "vanish"])
def test_what_is_to_be_removed_when_it_ends_gives_all_back(world: World, node: FakeNode, end: str) -> None:
    port = world.add_port()
    container = world.running(port, auto_remove=True)
    if end == "exit":
        node.containers[container.uuid].status = Status.STOPPED
    else:
        del node.containers[container.uuid]

    for _ in range(2):
        world.sync()
        world.settle()

    assert world.is_gone(container)
    world.check_nothing_left(port)


@pytest.mark.parametrize("change", ["created", "started"])
def test_a_report_that_comes_late_removes_and_heals_nothing(world: World, node: FakeNode, change: str) -> None:
    late = node.report()
    container = world.running(auto_remove=change == "started", auto_heal=True)
    if change == "started":
        node.containers[container.uuid].status = Status.STOPPED
        late = node.report()
        node.containers[container.uuid].status = Status.PAUSED
        world.sync()
        world.lifecycle.unpause(world.caller(), container.uuid)
        world.settle()

    world.reports.sync(late)
    for _ in range(2):
        world.sync()
        world.settle()

    assert world.now(container).status is Status.RUNNING
    assert Verb.REBUILD not in [verb for _, _, verb in node.carried_out]


def test_what_was_never_started_is_not_removed_by_itself(world: World, node: FakeNode) -> None:
    del node
    container = world.create(world.add_port(), run=False, auto_remove=True)
    world.settle()
    world.sync()

    assert world.now(container).status is Status.CREATED


def test_a_device_that_has_left_the_host_is_told_and_kept_for_its_container(world: World, node: FakeNode) -> None:
    container = world.running()
    (device,) = container.devices
    node.gone.add(device.address)

    world.sync()

    assert f"PCI device {device.address} has left host host-1" in (world.now(container).status_reason or "")
    assert [each.container for each in world.claims()] == [container.uuid]


# What nodes tell


def test_an_image_that_is_being_fetched_is_shown(world: World, node: FakeNode) -> None:
    del node
    container = world.create(world.add_port())
    while world.worker.work():
        pass
    report = ContainerReport(uuid=container.uuid, status=Status.CREATING, progress="image_pulling")

    heard = hear(world.now(container), report).container

    assert (heard.status, heard.task_state) == (Status.CREATING, TaskState.IMAGE_PULLING)


def test_an_operation_that_is_not_the_last_one_confirms_nothing(world: World, node: FakeNode) -> None:
    container = world.running()
    node.is_deaf = True
    world.lifecycle.stop(world.caller(), container.uuid, timeout_s=1)
    now = world.now(container)

    late = ContainerReport(uuid=container.uuid, status=Status.RUNNING, done=Done(number=1))

    assert hear(now, late).container.is_awaited
    assert not hear(now, late).ended


def test_a_container_that_no_node_was_given_is_not_heard_of(world: World, node: FakeNode) -> None:
    del node
    container = world.create(world.add_port())

    heard = hear(container, ContainerReport(uuid=container.uuid, status=Status.RUNNING, done=Done(number=1)))

    assert heard.container == container


def test_nodes_are_told_of_bound_ports_only(world: World, node: FakeNode) -> None:
    del node
    container = world.running()
    second = world.add_port(world.add_network("second", project_id="demo", vlan=200))
    world.lifecycle.detach(world.caller(), container.uuid, port=container.interfaces[0].port_id)
    leaving = world.now(container)
    waiting = world.create(second, name="waiting")

    wanted = world.reports.sync(world.nodes.on("host-1").report())

    assert [each.uuid for each in wanted.containers] == [leaving.uuid]
    assert wanted.containers[0].interfaces == ()
    assert wanted.service == world.store.service_id()
    assert world.now(waiting).status is Status.CREATING


def test_devices_by_alias_are_told_and_freed(world: World, node: FakeNode) -> None:
    programs = tuple(device.model_copy(update={"vf_driver": "vfio-pci"}) for device in card(2))
    world.nodes.all["host-1"].devices += programs
    world.sync()

    container = world.running(hints={"pci_passthrough:alias": "nic:2"})

    assert len(container.devices) == 3
    assert node.containers[container.uuid].devices == {device.address for device in container.devices}
    world.delete(container)
    world.settle()
    assert world.claims() == []


# Orphans


def test_a_port_that_bears_the_id_of_no_container_is_given_back_after_a_while(world: World, node: FakeNode) -> None:
    del node
    given = world.add_port(profile={"note": "keep me"})
    made = world.add_port(
        device_id="nobody", device_owner="compute:mooring", description="mooring-container:of an interface"
    )
    world.neutron.reserve(given, device_id="nobody", device_owner="compute:mooring")

    world.rounds.make()
    assert world.neutron.now(given.id).device_id == "nobody"
    world.make_rounds()

    assert world.is_as_left(given)
    assert world.neutron.ports(device_id="nobody") == ()
    assert made.id not in world.made_ports()


def test_a_port_is_an_orphan_too_when_its_container_has_others(world: World, node: FakeNode) -> None:
    del node
    port, stray = world.add_port(), world.add_port()
    container = world.running(port)
    world.neutron.reserve(stray, device_id=container.uuid, device_owner="compute:mooring")

    world.make_rounds()

    assert world.is_as_left(stray)
    assert world.neutron.now(port.id).device_id == container.uuid


def test_ports_of_others_are_left_alone(world: World, node: FakeNode) -> None:
    del node
    nova = world.add_port(device_id="server-1", device_owner="compute:nova")
    elsewhere = world.add_port(device_id="nobody", device_owner="compute:mooring")
    elsewhere = world.neutron.change_port(elsewhere.id, **{"binding:host_id": "a host of another service"})

    world.make_rounds()

    assert world.neutron.now(nova.id) == nova
    assert world.neutron.now(elsewhere.id) == elsewhere


def test_a_claim_cannot_be_orphaned_for_it_goes_with_its_container(world: World, node: FakeNode) -> None:
    del node
    container = world.running()

    world.store.remove(world.now(container))

    assert world.claims() == []
