"""Containers whose programs drive devices by themselves, over vfio-pci."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from attach_world import a_lease
from containers_world import UUID, VFS, World

from mooring.attach.resize import CardResizer
from mooring.container.states import Status, Verb
from mooring.errors import DeviceBusy
from mooring.host.kernel import VFIO, VFIO_NODE
from mooring.node.containers.creation import creation_of
from mooring.pci.device_spec import DeviceSpec
from mooring.rpc.messages import DeviceState, FailureKind

OTHER = "0e0e0e0e-0000-4000-8000-00000000c0de"
KEPT = DeviceSpec.parse_all(['{"devname": "enp2s0", "physical_network": "physnet2", "vf_driver": "vfio-pci"}'])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, specs=KEPT)
    yield world
    world.close()


def group(world: World, number: int = 0) -> str:
    node = world.host.kernel.vfio_group(world.host.kernel.vf(VFS[number]))
    assert node is not None
    return node


def test_a_port_on_a_device_for_programs_gives_the_container_the_devices_node(world: World) -> None:
    world.controller.want(Verb.CREATE, world.interface(), run=True)
    world.settle()

    plan = world.docker.by_uuid[UUID].plan
    assert plan.device_nodes == (VFIO_NODE, group(world))
    assert world.told().status is Status.RUNNING
    (lease,) = world.host.core.journal.leases()
    assert (lease.vf_driver, lease.device) == (VFIO, VFS[0])
    host = creation_of(plan).host
    assert host["devices"] == [f"{node}:{node}:rwm" for node in plan.device_nodes]
    assert host["ulimits"] == [{"Name": "memlock", "Soft": -1, "Hard": -1}]


def test_a_device_without_a_port_is_given_and_cleaned_at_the_end(world: World) -> None:
    world.controller.want(Verb.CREATE, devices=(VFS[0], VFS[1]), run=True)
    world.settle()
    assert world.docker.by_uuid[UUID].plan.device_nodes == (VFIO_NODE, group(world, 0), group(world, 1))
    changed = world.host.held(VFS[0])
    world.host.kernel.write_settings(world.host.kernel.vf(VFS[0]), _with_vlan(changed))

    world.controller.want(Verb.DELETE)
    world.settle()

    assert world.told().status is Status.DELETED
    del world.controller.wanted[UUID]
    world.settle()
    assert world.left() == []


def test_a_device_without_a_port_is_nobody_elses_and_its_holder_is_told(world: World) -> None:
    world.controller.want(Verb.CREATE, devices=(VFS[0],), run=True)
    world.settle()
    world.controller.want(Verb.CREATE, devices=(VFS[0],), uuid=OTHER, run=True)
    world.settle()

    assert world.failure(OTHER).kind is FailureKind.REFUSED
    assert f"PCI device {VFS[0]} is in use by container {UUID}" in world.failure(OTHER).message
    with pytest.raises(DeviceBusy, match=UUID):
        world.host.core.journal.add(a_lease(device=VFS[0], parent=None))
    reported = {device.address: device for device in world.controller.reports[-1].devices}
    assert (reported[VFS[0]].state, reported[VFS[0]].holder) == (DeviceState.HELD, UUID)
    assert reported[VFS[1]].state is DeviceState.FREE


def test_no_round_touches_the_device_of_a_container_and_no_crash_frees_it(world: World) -> None:
    world.controller.want(Verb.CREATE, devices=(VFS[0],), run=True)
    world.settle()
    vf = world.host.kernel.vf(VFS[0])
    world.host.kernel.write_settings(vf, _with_vlan(world.host.held(VFS[0])))
    world.restart()
    world.host.later()
    world.settle()

    assert world.host.held(VFS[0]).vlan == 7
    assert world.host.core.journal.assigned() == {VFS[0]: UUID}


def test_a_device_that_a_program_has_open_is_not_given(world: World) -> None:
    world.host.kernel.open_vfio(world.host.kernel.vf(VFS[0]))

    world.controller.want(Verb.CREATE, devices=(VFS[0],))
    world.settle()

    assert "is in use by a program that has /dev/vfio/" in world.failure().message
    assert world.host.core.journal.assigned() == {}


def test_a_card_keeps_its_vfs_while_a_container_has_one_without_a_port(world: World) -> None:
    world.controller.want(Verb.CREATE, devices=(VFS[0],), run=True)
    world.settle()
    core = world.host.core

    with pytest.raises(DeviceBusy, match=f"container {UUID}"):
        CardResizer(core.devices, core.engine.card_locks).resize("enp2s0", 2)


def test_the_device_of_a_container_that_nobody_knows_any_more_is_free(world: World) -> None:
    world.host.core.journal.assign(VFS[0], None, "removed by hand")
    world.agent.note_done()

    world.settle()

    assert world.host.core.journal.assigned() == {}


def _with_vlan(settings: object) -> object:
    from dataclasses import replace  # noqa: PLC0415

    return replace(settings, vlan=7)  # type: ignore[type-var]
