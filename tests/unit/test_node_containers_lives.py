"""Containers of the service on one host: whole lives, and what becomes of them when something fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from attach_world import HOST
from containers_world import IMAGE, UUID, VFS, World

from mooring.container.spec import ContainerSpec, Mount, PullPolicy, RestartPolicy
from mooring.container.states import Status, TaskState, Verb
from mooring.rpc.messages import DeviceState, FailureKind

OTHER = "0e0e0e0e-0000-4000-8000-00000000c0de"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def running(world: World, *kinds: str) -> None:
    """Have a container created and started, with an interface of each kind."""
    vfs = iter(VFS)
    interfaces = [world.interface(kind, next(vfs)) for kind in kinds or ("direct",)]
    world.controller.want(Verb.CREATE, *interfaces, run=True)
    world.settle()
    assert world.told().status is Status.RUNNING


def deleted(world: World) -> None:
    """Have it deleted, and the controller forget it once the node has confirmed."""
    world.controller.want(Verb.DELETE)
    world.settle()
    assert (world.told().status, world.told().done) == (Status.DELETED, world.told().done)
    assert world.told().done is not None
    del world.controller.wanted[UUID]
    world.settle()


@pytest.mark.parametrize("kind", ["direct", "macvtap", "normal"])
def test_a_containers_whole_life_leaves_nothing(world: World, kind: str) -> None:
    running(world, kind)
    (endpoint,) = world.docker.living()
    assert world.host.check(endpoint) == ()
    for verb, status in (
        (Verb.PAUSE, Status.PAUSED),
        (Verb.UNPAUSE, Status.RUNNING),
        (Verb.STOP, Status.STOPPED),
        (Verb.START, Status.RUNNING),
        (Verb.REBOOT, Status.RUNNING),
        (Verb.KILL, Status.STOPPED),
    ):
        world.controller.want(verb)
        world.settle()
        assert world.told().status is status
        assert world.told().done is not None

    deleted(world)

    assert world.left() == []


def test_neutron_is_asked_and_told_nothing(world: World) -> None:
    interface = world.interface()
    world.neutron.calls.clear()
    world.neutron.unreachable = True
    world.controller.want(Verb.CREATE, interface, run=True)
    world.settle()
    assert world.told().status is Status.RUNNING

    deleted(world)

    assert world.neutron.calls == []
    world.neutron.unreachable = False
    assert world.neutron.now(interface.port.id).host == HOST


def test_a_container_that_is_not_to_run_yet_has_its_port_when_it_is_started(world: World) -> None:
    world.controller.want(Verb.CREATE, world.interface())
    world.settle()
    assert (world.told().status, len(world.told().attached)) == (Status.CREATED, 1)

    world.controller.want(Verb.START)
    world.settle()

    assert world.told().status is Status.RUNNING
    (endpoint,) = world.docker.living()
    assert world.host.check(endpoint) == ()


def test_the_first_item_is_the_first_interface_and_all_are_there_before_the_start(world: World) -> None:
    running(world, "direct", "macvtap", "normal")

    container = world.docker.by_uuid[UUID]
    ports = [interface.port.id for interface in world.controller.wanted[UUID].interfaces]
    assert [container.links[name] for name in container.endpoints] == ports
    assert world.told().attached == tuple(ports)
    # All of them are on one Neutron network, and Docker connects a container to each of its own once.
    assert len(set(container.links)) == 3
    deleted(world)
    assert world.left() == []


def test_a_container_without_interfaces_is_on_no_network(world: World) -> None:
    world.controller.want(Verb.CREATE, run=True)
    world.settle()

    assert world.docker.by_uuid[UUID].links == {"none": None}
    deleted(world)
    assert world.left() == []


def test_an_operation_is_done_once_however_often_it_is_told(world: World) -> None:
    running(world)
    world.controller.want(Verb.STOP)
    world.settle()
    world.docker.start(UUID)

    world.settle()
    world.restart()
    world.settle()

    assert world.told().status is Status.RUNNING


def test_a_port_is_attached_to_and_detached_from_a_running_container(world: World) -> None:
    running(world)
    first = world.controller.wanted[UUID].interfaces[0]
    second = world.interface("direct", VFS[1])

    world.controller.want(Verb.ATTACH, first, second)
    world.settle()
    assert world.told().attached == (first.port.id, second.port.id)
    assert len(world.docker.living()) == 2

    world.controller.want(Verb.DETACH, first, port=second.port.id)
    world.settle()
    assert world.told().attached == (first.port.id,)
    (lease,) = world.host.core.journal.leases()
    assert lease.port.id == first.port.id

    world.controller.want(Verb.DETACH, port=first.port.id)
    world.settle()
    assert (world.told().attached, world.docker.nets) == ((), {})
    world.controller.want(Verb.ATTACH, second)
    world.settle()
    assert world.told().attached == (second.port.id,)


def test_an_attach_that_is_refused_leaves_the_container_as_it_was(world: World) -> None:
    running(world)
    first = world.controller.wanted[UUID].interfaces[0]
    taken = world.interface("direct", VFS[0])

    world.controller.want(Verb.ATTACH, first, taken)
    world.settle()

    assert (world.failure().kind, world.told().attached) == (FailureKind.REFUSED, (first.port.id,))
    assert f"{VFS[0]} is in use" in world.failure().message
    assert world.told().status is Status.RUNNING
    world.controller.want(Verb.REBOOT, first)
    world.settle()
    assert (world.told().status, world.told().attached) == (Status.RUNNING, (first.port.id,))
    assert world.docker.by_uuid[UUID].endpoints.keys() == world.docker.by_uuid[UUID].links.keys()


def test_an_attach_that_docker_cannot_complete_fails_with_its_reason_and_leaves_nothing(world: World) -> None:
    running(world)
    first = world.controller.wanted[UUID].interfaces[0]
    second = world.interface("direct", VFS[1])
    world.docker.conflicting.add(f"mooring-01-{second.network.id}")

    world.controller.want(Verb.ATTACH, first, second)
    world.settle()

    assert "conflicts with existing route" in world.failure().message
    assert world.told().attached == (first.port.id,)
    world.controller.want(Verb.REBOOT, first)
    world.settle()
    assert (world.told().status, world.told().attached) == (Status.RUNNING, (first.port.id,))


def test_a_container_that_docker_is_about_to_restart_keeps_its_ports_where_they_are(world: World) -> None:
    running(world)
    first = world.controller.wanted[UUID].interfaces[0]
    container = world.docker.by_uuid[UUID]
    world.docker.end(UUID, 1)
    container.found = replace(container.found, state="restarting")

    world.controller.want(Verb.ATTACH, first)
    world.settle()

    assert world.told().attached == (first.port.id,)
    assert list(container.links) == [f"mooring-00-{first.network.id}"]


def test_a_rebuilt_container_keeps_its_interfaces_and_runs_again_if_it_ran(world: World) -> None:
    running(world)
    before = world.docker.by_uuid[UUID].found.runtime_id
    world.docker.images.add("other")

    world.controller.want(Verb.REBUILD, spec=ContainerSpec(name="web", image="other"))
    world.settle()

    now = world.docker.by_uuid[UUID]
    assert (now.plan.spec.image, world.told().status) == ("other", Status.RUNNING)
    assert now.found.runtime_id != before
    (endpoint,) = world.docker.living()
    assert world.host.check(endpoint) == ()


def test_limits_are_changed_without_a_restart(world: World) -> None:
    running(world)

    world.controller.want(Verb.UPDATE, spec=ContainerSpec(name="web", image=IMAGE, cpu=2, memory_mib=64))
    world.settle()

    assert world.docker.by_uuid[UUID].limits == (2, 64)


def test_a_signal_that_does_not_kill_leaves_it_running(world: World) -> None:
    running(world)

    world.controller.want(Verb.KILL, signal="SIGHUP")
    world.settle()

    assert (world.docker.by_uuid[UUID].signals, world.told().status) == (["SIGHUP"], Status.RUNNING)


def test_files_of_the_user_are_there_as_long_as_the_container(world: World) -> None:
    spec = ContainerSpec(name="web", image=IMAGE, mounts=(Mount(destination="/etc/motd", content="aGVsbG8="),))
    world.controller.want(Verb.CREATE, spec=spec)
    world.settle()

    ((source, destination),) = world.docker.by_uuid[UUID].plan.mounts
    assert (Path(source).read_bytes(), destination) == (b"hello", "/etc/motd")
    deleted(world)
    assert world.left() == []


# Images


def test_an_image_is_fetched_if_it_is_not_there(world: World) -> None:
    world.docker.registry.add("nginx")

    world.controller.want(Verb.CREATE, spec=ContainerSpec(name="web", image="nginx"))
    world.settle()

    assert world.told().status is Status.CREATED


@pytest.mark.parametrize(
    ("policy", "pulls"), [(PullPolicy.ALWAYS, 1), (PullPolicy.IF_NOT_PRESENT, 0), (PullPolicy.NEVER, 0)]
)
def test_an_image_that_is_there_is_fetched_only_if_that_is_the_policy(
    world: World, policy: PullPolicy, pulls: int
) -> None:
    world.docker.registry.add(IMAGE)

    world.controller.want(Verb.CREATE, spec=ContainerSpec(name="web", image=IMAGE, image_pull_policy=policy))
    world.settle()

    assert world.docker.calls.count("pull") == pulls


@pytest.mark.parametrize("policy", PullPolicy)
def test_an_image_that_does_not_exist_fails_for_good_and_leaves_nothing(world: World, policy: PullPolicy) -> None:
    spec = ContainerSpec(name="web", image="typo", image_pull_policy=policy)
    world.controller.want(Verb.CREATE, world.interface(), spec=spec, run=True)
    world.settle()

    assert (world.failure().kind, world.told().status) == (FailureKind.FAILED, Status.DELETED)
    assert "typo" in world.failure().message
    del world.controller.wanted[UUID]
    world.settle()
    assert world.left() == []


def test_one_slow_image_keeps_no_other_container_waiting_and_a_delete_ends_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    idle = threading.Semaphore(0)

    def spawn(_name: str, do: object) -> None:
        def run() -> None:
            do()  # type: ignore[operator]
            idle.release()

        threading.Thread(target=run, daemon=True).start()

    world.spawn = spawn
    world.restart()
    world.docker.may_pull.clear()
    world.controller.want(Verb.CREATE, spec=ContainerSpec(name="web", image="slow"))
    world.controller.want(Verb.CREATE, uuid=OTHER, run=True)

    world.agent.sync()
    assert idle.acquire(timeout=10)
    world.agent.sync()
    assert (world.told(OTHER).status, world.told().status) == (Status.RUNNING, Status.CREATING)
    assert world.told().progress == TaskState.IMAGE_PULLING

    world.controller.want(Verb.DELETE)
    world.agent.sync()
    assert idle.acquire(timeout=10)
    world.agent.sync()
    assert (world.told().status, world.told().progress) == (Status.DELETED, None)
    world.close()


# Devices


def test_a_device_that_another_has_is_refused_and_nothing_is_left(world: World) -> None:
    running(world)
    world.controller.want(Verb.CREATE, world.interface("direct", VFS[0], OTHER), uuid=OTHER, run=True)
    world.settle()

    assert world.failure(OTHER).kind is FailureKind.REFUSED
    assert f"PCI device {VFS[0]} is in use by" in world.failure(OTHER).message
    assert world.told(OTHER).status is Status.DELETED
    assert set(world.docker.by_uuid) == {UUID}
    del world.controller.wanted[OTHER]
    deleted(world)
    assert world.left() == []


def test_a_container_that_is_placed_here_again_after_a_refusal_is_created(world: World) -> None:
    running(world)
    world.controller.want(Verb.CREATE, world.interface("direct", VFS[0], OTHER), uuid=OTHER, run=True)
    world.settle()
    deleted(world)

    world.controller.want(Verb.CREATE, uuid=OTHER, run=True)
    world.settle()

    assert world.told(OTHER).status is Status.RUNNING


def test_a_device_for_a_program_that_no_program_can_drive_is_refused(world: World) -> None:
    world.controller.want(Verb.CREATE, devices=(VFS[0],))
    world.settle()

    assert world.failure().kind is FailureKind.REFUSED
    assert "it is not bound to vfio-pci" in world.failure().message


def test_devices_are_told_with_who_has_them(world: World) -> None:
    running(world)
    world.settle()
    devices = {device.address: device for device in world.controller.reports[-1].devices}

    mine = devices[VFS[0]]
    assert (mine.state, mine.holder) == (DeviceState.HELD, world.told().attached[0])
    assert mine.physical_network == "physnet2"
    assert mine.parent is not None
    assert devices[VFS[1]].state is DeviceState.FREE

    world.host.core.journal.quarantine(VFS[1], "it did not come clean")
    world.agent.sync()
    devices = {device.address: device for device in world.controller.reports[-1].devices}
    assert devices[VFS[1]].state is DeviceState.UNUSABLE
    assert "it did not come clean" in devices[VFS[1]].detail


# Controllers, engine and host come and go


def test_while_controllers_are_away_running_containers_stay_and_what_was_begun_goes_on(world: World) -> None:
    world.docker.registry.add("nginx")
    world.controller.want(Verb.CREATE, world.interface(), run=True)
    world.docker.away = True
    with pytest.raises(Exception, match="Docker does not answer"):
        world.agent.sync()
    world.docker.away = False
    world.settle()
    world.controller.away = True

    world.restart()
    world.settle()

    assert world.docker.by_uuid[UUID].runs
    (endpoint,) = world.docker.living()
    assert world.host.check(endpoint) == ()


def test_while_docker_is_away_nothing_is_told(world: World) -> None:
    running(world)
    told = len(world.controller.reports)
    world.docker.away = True

    with pytest.raises(Exception, match="Docker does not answer"):
        world.agent.sync()

    assert len(world.controller.reports) == told


@pytest.mark.parametrize("policy", ["always", "unless-stopped", "no"])
def test_after_a_reboot_docker_starts_what_it_is_to_start_without_neutron_or_a_controller(
    world: World, policy: str
) -> None:
    spec = ContainerSpec(name="web", image=IMAGE, restart_policy=RestartPolicy(name=policy))  # type: ignore[arg-type]
    world.controller.want(Verb.CREATE, world.interface(), spec=spec, run=True)
    world.settle()
    world.docker.reboot()
    world.host.kernel.reboot()
    assert world.host.containers is not None
    world.host.containers.clear()
    world.controller.away = world.neutron.unreachable = True
    with pytest.raises(Exception, match="did not answer"):
        world.restart()
    world.agent = world._begin()

    world.docker.come_back()

    runs = policy != "no"
    assert world.docker.by_uuid[UUID].runs is runs
    assert [world.host.check(endpoint) for endpoint in world.docker.living()] == ([()] if runs else [])
    world.controller.away = world.neutron.unreachable = False
    world.settle()
    assert world.told().status is (Status.RUNNING if runs else Status.STOPPED)


def test_what_ends_by_itself_is_told_with_its_exit_code(world: World) -> None:
    running(world)
    world.docker.end(UUID, 3)

    world.agent.sync()

    report = world.told()
    assert (report.status, report.exit_code, report.detail) == (Status.STOPPED, 3, "Exited(3)")


# What nobody wants


def test_a_container_that_is_not_wanted_any_more_is_taken_away_with_the_second_sync(world: World) -> None:
    running(world)
    del world.controller.wanted[UUID]

    world.agent.sync()
    assert UUID in world.docker.by_uuid
    world.settle()

    assert world.left() == []


def test_containers_of_another_service_are_left_alone(world: World) -> None:
    running(world)
    found = world.docker.by_uuid[UUID]
    world.controller.wanted.clear()
    world.controller.service = "another"

    world.settle()

    assert world.docker.by_uuid == {UUID: found}


def test_a_container_that_somebody_removed_by_hand_is_told_as_gone(world: World) -> None:
    running(world)
    world.docker.remove(UUID)

    world.agent.sync()

    assert world.told().status is Status.DELETED
