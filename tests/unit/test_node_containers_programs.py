"""Containers whose programs drive devices by themselves, over vfio-pci."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from containers_world import UUID, VFS, World

from mooring.container.states import Status, Verb
from mooring.host.kernel import VFIO, VFIO_NODE
from mooring.node.containers.creation import creation_of
from mooring.pci.device_spec import DeviceSpec

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


def _with_vlan(settings: object) -> object:
    from dataclasses import replace  # noqa: PLC0415

    return replace(settings, vlan=7)  # type: ignore[type-var]
