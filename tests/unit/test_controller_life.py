"""The life of a container from its creation to its end, as its user and Neutron see it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from controller_world import World

from mooring.container.states import Status, Verb
from mooring.controller.api import Caller, ContainerChange, NetworkWish
from mooring.controller.lifecycle import ContainerLifecycle
from mooring.controller.reports import wanted
from mooring.errors import (
    ContainerNotFound,
    InvalidRequest,
    NameAmbiguous,
    NameTaken,
    NeutronUnreachable,
    NoRoom,
    PortBusy,
    QuotaExceeded,
    WrongState,
)
from mooring.neutron.model import UNBOUND, Network
from mooring.testing.nodes import FakeNode


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def node(world: World) -> FakeNode:
    return world.add_host()


def test_a_node_is_told_what_the_ports_qos_policy_allows(world: World) -> None:
    world.add_host()
    policy = world.neutron.add_qos_policy(max_kbps=20_000)
    container = world.running(world.add_port(qos_policy_id=policy))

    (told,) = wanted(world.now(container)).interfaces
    assert told.limits.max_kbps == 20_000


def test_a_container_gets_a_vf_on_the_ports_physical_network_and_gives_all_back(world: World, node: FakeNode) -> None:
    port = world.add_port(profile={"note": "the user's"})

    container = world.create(port)
    assert (container.status, container.task_state) == (Status.CREATING, "container_creating")
    assert world.neutron.now(port.id) == port
    world.settle()

    running, bound = world.now(container), world.neutron.now(port.id)
    assert (running.status, running.task_state, running.status_reason) == (Status.RUNNING, None, None)
    assert running.host == "host-1"
    assert (bound.device_id, bound.device_owner, bound.host) == (container.uuid, "compute:mooring", "host-1")
    assert bound.vif_type == "hw_veb"
    (device,) = running.devices
    assert bound.profile == {
        "note": "the user's",
        "pci_slot": str(device.address),
        "pci_vendor_info": "8086:10ca",
        "physical_network": "physnet2",
    }
    assert node.containers[container.uuid].ports == (port.id,)
    assert node.containers[container.uuid].devices == {device.address}
    assert [claimed.container for claimed in world.claims()] == [container.uuid]
    assert world.message(container) is None
    assert world.events(container) == [
        ("reserve_port", "Success"),
        ("schedule", "Success"),
        ("bind_port", "Success"),
        ("create on host-1", "Success"),
    ]

    world.delete(container)
    assert world.now(container).status is Status.DELETING
    assert world.neutron.now(port.id).vif_type != UNBOUND
    world.settle()

    assert world.is_gone(container)
    assert node.containers == {}
    world.check_nothing_left(port)


def test_a_given_port_can_be_used_again_and_a_made_one_is_deleted(world: World, node: FakeNode) -> None:
    del node
    port = world.add_port()
    second = world.add_network("second", project_id="demo", vlan=200)

    for _ in range(3):
        container = world.create(port, nets=[NetworkWish(network=second.id)])
        world.settle()
        assert world.now(container).status is Status.RUNNING
        assert len(world.made_ports()) == 1
        world.delete(container)
        world.settle()
        world.check_nothing_left(port)


def test_a_container_that_is_not_to_run_is_created_only(world: World, node: FakeNode) -> None:
    del node
    container = world.create(world.add_port(), run=False)
    world.settle()

    assert world.now(container).status is Status.CREATED


@pytest.mark.parametrize(
    ("before", "verb", "doing", "after"),
    [
        (Status.RUNNING, lambda core, *who: core.stop(*who, timeout_s=3), "container_stopping", Status.STOPPED),
        (Status.STOPPED, lambda core, *who: core.start(*who), "container_starting", Status.RUNNING),
        (Status.RUNNING, lambda core, *who: core.reboot(*who, timeout_s=3), "container_rebooting", Status.RUNNING),
        (Status.RUNNING, lambda core, *who: core.pause(*who), "container_pausing", Status.PAUSED),
        (Status.PAUSED, lambda core, *who: core.unpause(*who), "container_unpausing", Status.RUNNING),
        (Status.RUNNING, lambda core, *who: core.kill(*who, signal="TERM"), "container_killing", Status.STOPPED),
    ],
    ids=["stop", "start", "reboot", "pause", "unpause", "kill"],
)
def test_what_is_asked_is_under_way_until_the_node_has_done_it(
    world: World,
    node: FakeNode,
    before: Status,
    verb: Callable[[ContainerLifecycle, Caller, str], None],
    doing: str,
    after: Status,
) -> None:
    container = world.running()
    node.containers[container.uuid].status = before
    world.sync()

    verb(world.lifecycle, world.caller(), container.uuid)

    assert (world.now(container).status, world.now(container).task_state) == (before, doing)
    world.settle()
    assert (world.now(container).status, world.now(container).task_state) == (after, None)
    assert node.carried_out[-1][1] == 2
    assert world.now(container).devices == container.devices


def test_what_a_state_does_not_allow_is_refused(world: World, node: FakeNode) -> None:
    del node
    container = world.running()

    with pytest.raises(WrongState, match=r"Cannot unpause container .* in Running state"):
        world.lifecycle.unpause(world.caller(), container.uuid)
    with pytest.raises(WrongState, match="Cannot delete"):
        world.lifecycle.delete(world.caller(), container.uuid)


def test_one_thing_is_done_after_the_other_but_for_kills_and_deletions(world: World, node: FakeNode) -> None:
    container = world.running()
    node.is_deaf = True
    world.lifecycle.stop(world.caller(), container.uuid, timeout_s=600)

    with pytest.raises(WrongState, match="container_stopping"):
        world.lifecycle.pause(world.caller(), container.uuid)
    world.lifecycle.kill(world.caller(), container.uuid, signal=None)

    assert world.message(container, "stop") == "kill was asked for before it was done"
    world.delete(container)
    assert world.message(container, "kill") == "delete was asked for before it was done"
    world.come_to_rest()
    assert world.is_gone(container)


def test_what_fails_on_the_node_is_told_and_leaves_the_status_as_it_is(world: World, node: FakeNode) -> None:
    container = world.running()
    node.failure = "OCI runtime: no such signal"

    world.lifecycle.kill(world.caller(), container.uuid, signal="SIGX")
    world.settle()

    now = world.now(container)
    assert (now.status, now.task_state, now.status_reason) == (Status.RUNNING, None, "OCI runtime: no such signal")
    assert world.message(container, "kill") == "OCI runtime: no such signal"


def test_a_rebuilt_container_keeps_its_port_and_its_device(world: World, node: FakeNode) -> None:
    port = world.add_port()
    container = world.running(port)
    bound = world.neutron.now(port.id)
    world.neutron.calls.clear()

    world.lifecycle.rebuild(world.caller(), container.uuid, image="alpine", image_driver=None)
    assert world.now(container).status is Status.REBUILDING
    world.settle()

    rebuilt = world.now(container)
    assert (rebuilt.status, rebuilt.spec.image, rebuilt.devices) == (Status.RUNNING, "alpine", container.devices)
    assert node.containers[container.uuid].spec.image == "alpine"
    assert world.neutron.now(port.id) == bound
    assert world.neutron.calls == []


def test_a_change_of_limits_reaches_the_node_and_a_change_of_name_need_not(world: World, node: FakeNode) -> None:
    container = world.running()

    renamed = world.lifecycle.update(world.caller(), container.uuid, ContainerChange(name="new"))
    world.settle()
    assert renamed.spec.name == "new"
    assert len(node.carried_out) == 1

    world.lifecycle.update(world.caller(), "new", ContainerChange(memory_mib=1024))
    world.settle()
    assert node.containers[container.uuid].spec.memory_mib == 1024
    assert [action.finish is not None for action in world.store.actions(container.uuid)] == [True, True, True]


def test_a_change_keeps_to_quotas_and_unique_names() -> None:
    world = World(unique_names="global", quotas={"containers": -1, "cpu": 3, "memory": -1, "disk": -1})
    world.add_host()
    container = world.running(name="first")
    world.running(world.add_port(), name="second")

    with pytest.raises(QuotaExceeded, match="cpu"):
        world.lifecycle.update(world.caller(), "first", ContainerChange(cpu=2.5))
    with pytest.raises(NameTaken, match="second"):
        world.lifecycle.update(world.caller(), "first", ContainerChange(name="second"))
    assert world.now(container).spec == container.spec


def test_what_an_image_runs_is_known_as_soon_as_its_container_is_there(world: World, node: FakeNode) -> None:
    del node
    container = world.running(image="nginx")
    told = world.running(world.add_port(), command=("sleep", "5"), entrypoint=("sh",))

    assert (world.now(container).command, world.now(container).entrypoint) == (("serve", "nginx"), None)
    assert world.now(container).spec.command is None
    assert (world.now(told).command, world.now(told).entrypoint) == (("sleep", "5"), ("sh",))

    world.lifecycle.rebuild(world.caller(), container.uuid, image="caddy", image_driver=None)
    world.come_to_rest()

    assert world.now(container).command == ("serve", "caddy")


def test_a_container_does_not_outgrow_its_host(world: World, node: FakeNode) -> None:
    container = world.running()
    whole = world.store.host(str(container.host)).facts
    for change, words in (
        (ContainerChange(cpu=whole.cpus + 1), f"{whole.cpus + 1} processors wanted, {whole.cpus} to be had"),
        (ContainerChange(memory_mib=whole.memory_mib + 1), "MiB of memory wanted"),
    ):
        with pytest.raises(NoRoom, match=words):
            world.lifecycle.update(world.caller(), container.uuid, change)
    assert world.now(container).spec == container.spec
    assert len(node.carried_out) == 1

    world.lifecycle.update(world.caller(), container.uuid, ContainerChange(cpu=whole.cpus))
    world.settle()

    assert node.containers[container.uuid].spec.cpu == whole.cpus


def test_a_container_that_is_larger_than_its_host_has_become_may_be_renamed_and_made_smaller(
    world: World, node: FakeNode
) -> None:
    container = world.running(cpu=4)
    node.facts = node.facts.model_copy(update={"cpus": 2})
    world.sync()

    world.lifecycle.update(world.caller(), container.uuid, ContainerChange(name="big"))
    world.lifecycle.update(world.caller(), container.uuid, ContainerChange(cpu=3))
    world.settle()

    assert (world.now(container).spec.name, node.containers[container.uuid].spec.cpu) == ("big", 3)


# Ports of running containers


@pytest.fixture
def second(world: World) -> Network:
    return world.add_network("second", project_id="demo", vlan=200)


def test_a_port_is_attached_in_the_way_of_a_creation_and_detached_alone(
    world: World, node: FakeNode, second: Network
) -> None:
    first, port = world.add_port(), world.add_port(second, name="uplink")
    container = world.running(first)

    world.lifecycle.attach(world.caller(), container.uuid, NetworkWish(port="uplink"))
    assert world.now(container).task_state == "network_attaching"
    world.settle()

    assert node.containers[container.uuid].ports == (first.id, port.id)
    assert world.neutron.now(port.id).vif_type == "hw_veb"
    assert len(world.claims()) == 2
    assert world.now(container).task_state is None
    assert world.message(container, "network_attach") is None

    world.lifecycle.detach(world.caller(), container.uuid, port="uplink")
    assert world.now(container).task_state == "network_detaching"
    world.settle()

    assert node.containers[container.uuid].ports == (first.id,)
    assert world.is_as_left(port)
    assert world.neutron.now(first.id).device_id == container.uuid
    assert [each.container for each in world.claims()] == [container.uuid]
    assert [each.port_id for each in world.now(container).interfaces] == [first.id]
    assert [verb for _, _, verb in node.carried_out] == [Verb.CREATE, Verb.ATTACH, Verb.DETACH]


def test_a_detachment_is_over_when_others_can_have_the_port(world: World, node: FakeNode, second: Network) -> None:
    port = world.add_port(second)
    container = world.running(world.add_port(), port)

    world.lifecycle.detach(world.caller(), container.uuid, port=port.id)
    node.sync(world.reports)

    assert world.neutron.now(port.id).vif_type == "hw_veb"
    assert not world.is_over(container, "network_detach")
    assert world.now(container).task_state == "network_detaching"

    world.settle()

    assert world.is_as_left(port)
    assert world.is_over(container, "network_detach")
    assert world.message(container, "network_detach") is None
    assert world.now(container).task_state is None


def test_a_network_is_attached_by_a_port_that_is_made_and_detached_by_its_name(
    world: World, node: FakeNode, second: Network
) -> None:
    del node, second
    container = world.running()

    world.lifecycle.attach(world.caller(), container.uuid, NetworkWish(network="second"))
    world.settle()
    assert len(world.made_ports()) == 1
    world.lifecycle.detach(world.caller(), container.uuid, network="second")
    world.settle()

    assert world.made_ports() == []


def test_what_is_not_attached_cannot_be_detached(world: World, node: FakeNode) -> None:
    del node
    container = world.running()

    with pytest.raises(InvalidRequest, match="has no port other"):
        world.lifecycle.detach(world.caller(), container.uuid, port="other")
    with pytest.raises(InvalidRequest, match="one of the two"):
        world.lifecycle.detach(world.caller(), container.uuid)


def test_a_container_has_one_interface_on_a_network(world: World, node: FakeNode) -> None:
    del node
    container = world.running()

    with pytest.raises(InvalidRequest, match="two interfaces on network"):
        world.lifecycle.attach(world.caller(), container.uuid, NetworkWish(port=world.add_port().id))


def test_a_port_that_another_container_is_about_to_get_cannot_be_attached(
    world: World, node: FakeNode, second: Network
) -> None:
    del node
    port = world.add_port(second)
    container = world.running()
    rival = world.create(port, name="rival")

    with pytest.raises(PortBusy, match=rival.uuid):
        world.lifecycle.attach(world.caller(), container.uuid, NetworkWish(port=port.id))

    assert rival.uuid in (world.message(container, "network_attach") or "")
    assert world.now(container).task_state is None


@pytest.mark.parametrize("trouble", ["no device", "node refuses", "binding fails", "somebody is faster"])
def test_an_attachment_that_fails_leaves_the_container_as_it_was(trouble: str) -> None:
    world = World()
    second = world.add_network("second", project_id="demo", vlan=200)
    node = world.add_host(vfs=1 if trouble == "no device" else 7)
    first, port = world.add_port(), world.add_port(second)
    container = world.running(first)
    world.lifecycle.attach(world.caller(), container.uuid, NetworkWish(port=port.id))
    if trouble == "node refuses":
        node.refusal = "the VF is not clean"
    if trouble == "binding fails":
        world.neutron.kill_agent("host-1")
    if trouble == "somebody is faster":
        world.neutron.change_port(port.id, device_id="server-1")

    world.settle()

    now = world.now(container)
    assert (now.status, now.task_state) == (Status.RUNNING, None)
    assert now.interfaces == container.interfaces
    assert now.status_reason == world.message(container, "network_attach")
    assert now.status_reason
    assert node.containers[container.uuid].ports == (first.id,)
    assert [each.container for each in world.claims()] == [container.uuid]
    if trouble != "somebody is faster":
        assert world.is_as_left(port)


def test_a_detachment_that_fails_keeps_the_port(world: World, node: FakeNode) -> None:
    port = world.add_port()
    container = world.running(port)
    node.failure = "the engine is confused"

    world.lifecycle.detach(world.caller(), container.uuid, port=port.id)
    world.settle()

    assert world.now(container).interfaces == container.interfaces
    assert world.neutron.now(port.id).device_id == container.uuid
    assert world.message(container, "network_detach") == "the engine is confused"


# The end


def test_a_deletion_waits_for_the_node_before_anything_is_given_back(world: World, node: FakeNode) -> None:
    port = world.add_port()
    container = world.running(port)
    node.is_away = True

    world.delete(container)
    world.come_to_rest()

    assert world.now(container).status is Status.DELETING
    assert world.neutron.now(port.id).vif_type == "hw_veb"
    assert len(world.claims()) == 1
    node.is_away = False
    world.come_to_rest()
    assert world.is_gone(container)
    world.check_nothing_left(port)


def test_neutron_away_delays_a_deletion_and_is_waited_for_as_long_as_it_takes(world: World, node: FakeNode) -> None:
    del node
    port = world.add_port()
    container = world.running(port)
    world.neutron.unreachable = True
    world.delete(container)
    world.settle()
    for _ in range(20):
        world.clock.pass_(minutes=5)
        world.settle()
    assert world.now(container).status is Status.DELETING
    assert "Neutron does not answer" in (world.now(container).status_detail or "")

    world.neutron.unreachable = False
    world.come_to_rest()

    assert world.is_gone(container)
    world.check_nothing_left(port)


def test_a_port_that_its_user_has_deleted_or_given_away_does_not_hold_a_deletion_up(
    world: World, node: FakeNode, second: Network
) -> None:
    del node
    dropped, given_away = world.add_port(), world.add_port(second)
    container = world.running(dropped, given_away)
    world.neutron.drop_port(dropped.id)
    world.neutron.change_port(given_away.id, device_id="server-1", **{"binding:host_id": "elsewhere"})

    world.delete(container)
    world.settle()

    assert world.is_gone(container)
    assert world.claims() == []
    assert world.neutron.now(given_away.id).device_id == "server-1"


def test_a_port_whose_device_its_user_took_away_by_hand_is_unbound_all_the_same(world: World, node: FakeNode) -> None:
    del node
    port = world.add_port()
    container = world.running(port)
    world.neutron.change_port(port.id, device_id="", device_owner="")

    world.delete(container)
    world.settle()

    assert world.is_as_left(port)


def test_one_port_that_cannot_be_given_back_does_not_keep_the_others(
    world: World, node: FakeNode, second: Network
) -> None:
    del node
    ports = [world.add_port(), world.add_port(second)]
    container = world.running(*ports)
    world.delete(container)
    # The list of its ports is the first call, then each is given back.
    world.neutron.fail_call(2, error=NeutronUnreachable("unbinding", "a test"))
    world.settle()
    assert not world.is_gone(container)
    assert sorted(map(world.is_as_left, ports)) == [False, True]

    world.come_to_rest()

    assert world.is_gone(container)
    world.check_nothing_left(*ports)


def test_a_failed_container_is_deleted_and_asks_no_node(world: World) -> None:
    port = world.add_port()
    container = world.create(port)
    world.settle()
    assert "no host" in (world.now(container).status_reason or "")

    world.lifecycle.delete(world.caller(), container.uuid)
    world.settle()

    assert world.is_gone(container)
    assert world.is_as_left(port)


def test_what_failed_to_come_to_be_cannot_be_started(world: World) -> None:
    container = world.create(world.add_port())
    world.settle()

    with pytest.raises(WrongState, match="on no host"):
        world.lifecycle.start(world.caller(), container.uuid)


def test_a_deletion_that_the_node_cannot_do_is_told_and_can_be_asked_for_again(world: World, node: FakeNode) -> None:
    port = world.add_port()
    container = world.running(port)
    node.sticks = "device or resource busy"
    world.delete(container)
    world.settle()
    failed = world.now(container)
    assert (failed.status, failed.status_reason) == (Status.ERROR, "device or resource busy")
    assert world.message(container, "delete") == "device or resource busy"
    assert world.neutron.now(port.id).device_id == container.uuid

    node.sticks = None
    world.lifecycle.delete(world.caller(), container.uuid)
    world.settle()

    assert world.is_gone(container)
    world.check_nothing_left(port)


# Whose it is


def test_anothers_container_does_not_exist_for_a_member_and_does_for_an_administrator(
    world: World, node: FakeNode
) -> None:
    del node
    container = world.running(name="edge")
    stranger, admin = world.caller("another"), world.admin()

    for key in (container.uuid, "edge"):
        with pytest.raises(ContainerNotFound, match=key):
            world.lifecycle.find(stranger, key, everywhere=True)
        assert world.lifecycle.find(admin, key, everywhere=True).uuid == container.uuid
    assert world.lifecycle.find(admin, container.uuid).uuid == container.uuid
    with pytest.raises(ContainerNotFound):
        world.lifecycle.find(admin, "edge")
    with pytest.raises(ContainerNotFound):
        world.lifecycle.stop(stranger, container.uuid, timeout_s=1)


def test_a_name_that_several_have_is_ambiguous_and_a_uuid_never_is(world: World) -> None:
    first = world.create(world.add_port(), name="twin")
    world.create(world.add_port(), name="twin")
    world.create(world.add_port(), name=first.uuid)

    with pytest.raises(NameAmbiguous, match="2 containers are named twin"):
        world.lifecycle.find(world.caller(), "twin")
    assert world.lifecycle.find(world.caller(), first.uuid).uuid == first.uuid


def test_a_sync_that_tells_nothing_new_writes_nothing(world: World, node: FakeNode) -> None:
    del node
    container = world.running()

    world.sync()

    assert world.now(container).revision == container.revision
