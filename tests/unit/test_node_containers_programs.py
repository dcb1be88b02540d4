"""Containers whose programs drive devices by themselves, over vfio-pci."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from attach_world import a_lease
from containers_world import UUID, VFS, World

from mooring.attach.pool import PooledVf
from mooring.attach.resize import CardResizer
from mooring.cli.listings import device_listing
from mooring.cli.output import show
from mooring.container.states import Status, Verb
from mooring.errors import DeviceBusy
from mooring.host.kernel import VFIO, VFIO_NODE
from mooring.node.containers.creation import creation_of
from mooring.pci.address import PciAddress
from mooring.pci.device import PlainDevice
from mooring.pci.device_spec import DeviceSpec
from mooring.pci.requests import DeviceKind
from mooring.rpc.messages import DeviceState, FailureKind, NodeReport, Wanted

GPU = PciAddress.parse("0000:05:00.0")
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


def test_a_container_finds_its_device_on_vfio_pci_again_after_a_reboot(world: World) -> None:
    world.controller.want(Verb.CREATE, devices=(VFS[0],), run=True)
    world.settle()
    world.docker.reboot()
    world.host.kernel.reboot()
    assert world.host.kernel.vf(VFS[0]).driver != VFIO

    world.restart()
    world.host.later()

    assert world.host.kernel.vf(VFS[0]).driver == VFIO
    assert world.host.core.journal.assigned() == {VFS[0]: UUID}


def test_a_device_is_not_given_while_it_is_cleaned_as_nobodys(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    core = world.host.core
    assign, seen = core.journal.assign, []

    def assigning(device: PciAddress, parent: PciAddress | None, container: str) -> None:
        # Whoever cleans a VF holds its card's lock, from its look at whose the VF is to the end.
        seen.append(parent in core.engine.card_locks)
        assign(device, parent, container)

    monkeypatch.setattr(core.journal, "assign", assigning)
    world.controller.want(Verb.CREATE, devices=(VFS[0],), run=True)
    world.settle()

    assert (seen, world.told().status) == ([True], Status.RUNNING)


def test_a_device_that_a_round_prepares_at_that_moment_is_given(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.host.kernel.reboot()
    sync = world.controller.sync

    def sync_and_round(report: NodeReport) -> Wanted:
        answer = sync(report)
        world.host.core.reconciler.sweep()
        return answer

    monkeypatch.setattr(world.controller, "sync", sync_and_round)
    world.controller.want(Verb.CREATE, devices=(VFS[0],), run=True)
    world.agent.sync()

    assert world.docker.by_uuid[UUID].plan.device_nodes == (VFIO_NODE, group(world))
    assert world.host.core.journal.assigned() == {VFS[0]: UUID}


def test_a_device_that_is_found_again_at_the_second_try_is_not_told_as_quarantined(world: World) -> None:
    world.controller.want(Verb.CREATE, devices=(VFS[0],), run=True)
    world.settle()
    world.docker.reboot()
    world.host.kernel.reboot()
    world.host.kernel.iommu = False
    world.restart()
    assert VFS[0] in world.host.core.journal.quarantined()

    world.host.kernel.iommu = True
    world.host.later()

    assert world.host.kernel.vf(VFS[0]).driver == VFIO
    assert VFS[0] not in world.host.core.journal.quarantined()
    assert world.host.core.journal.assigned() == {VFS[0]: UUID}


def test_a_device_that_is_taken_back_twice_at_once_stays_with_the_next_container(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.controller.want(Verb.CREATE, devices=(VFS[0],), run=True)
    world.settle()
    caretaker, vf = world.host.core.engine.caretaker, world.host.kernel.vf(VFS[0])
    take_back = caretaker.take_back

    def take_back_late(member: PooledVf, container: str) -> None:
        take_back(member, container)
        world.controller.want(Verb.CREATE, devices=(VFS[0],), uuid=OTHER, run=True)
        world.agent.sync()
        world.host.kernel.write_settings(vf, _with_vlan(world.host.held(VFS[0])))
        take_back(member, container)

    monkeypatch.setattr(caretaker, "take_back", take_back_late)
    world.controller.want(Verb.DELETE)
    world.settle()

    assert world.told(OTHER).status is Status.RUNNING
    assert world.host.core.journal.assigned() == {VFS[0]: OTHER}
    assert world.host.held(VFS[0]).vlan == 7


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


# Devices without SR-IOV


@pytest.fixture
def gpus(tmp_path: Path) -> Iterator[World]:
    """Give a host three GPUs, the last of which the host itself uses, and a disk that nobody admits."""
    specs = DeviceSpec.parse_all(
        [
            '{"vendor_id": "10de"}',
            '{"vendor_id": "1b36", "physical_network": "physnet2"}',
            '{"devname": "enp2s0", "physical_network": "physnet2"}',
        ]
    )
    world = World(tmp_path, specs=specs)
    for bus, driver in ((5, VFIO), (6, VFIO), (7, "nouveau")):
        world.host.kernel.add_device(f"0000:{bus:02}:00.0", vendor_id="10de", product_id="20b0", driver=driver)
    world.host.kernel.add_device("0000:08:00.0", vendor_id="1b36", product_id="0010", driver=VFIO)
    yield world
    world.close()


def gpu_states(world: World) -> list[tuple[str, DeviceState, str | None, str]]:
    """Return what was told of devices without SR-IOV."""
    devices = [device for device in world.controller.reports[-1].devices if device.kind is DeviceKind.PCI]
    assert {(device.vendor_id, device.vf_driver, device.physical_network) for device in devices} <= {
        ("10de", VFIO, None)
    }
    return [(str(device.address), device.state, device.holder, device.detail) for device in devices]


def test_plain_devices_of_the_device_spec_are_told_with_what_keeps_them_from_programs(gpus: World) -> None:
    gpus.settle()

    assert gpu_states(gpus) == [
        ("0000:05:00.0", DeviceState.FREE, None, ""),
        ("0000:06:00.0", DeviceState.FREE, None, ""),
        ("0000:07:00.0", DeviceState.UNUSABLE, None, "driver nouveau has it"),
    ]


def test_a_plain_device_is_one_containers_from_its_making_to_its_end_whatever_crashes(gpus: World) -> None:
    gpus.controller.want(Verb.CREATE, devices=(GPU,), run=True)
    gpus.settle()
    assert gpus.docker.by_uuid[UUID].plan.device_nodes == (VFIO_NODE, "/dev/vfio/105")
    gpus.restart()
    gpus.controller.want(Verb.CREATE, devices=(GPU,), uuid=OTHER, run=True)
    gpus.settle()
    assert gpu_states(gpus)[0] == (str(GPU), DeviceState.HELD, UUID, "")
    assert f"PCI device {GPU} is in use by container {UUID}" in gpus.failure(OTHER).message

    gpus.controller.want(Verb.DELETE)
    gpus.settle()

    assert gpu_states(gpus)[0] == (str(GPU), DeviceState.FREE, None, "")


def test_a_program_keeps_a_plain_device_that_it_has_open(gpus: World) -> None:
    device = gpus.host.kernel.find(GPU)
    assert isinstance(device, PlainDevice)
    gpus.host.kernel.open_device(device)

    gpus.controller.want(Verb.CREATE, devices=(GPU,))
    gpus.settle()

    assert gpus.failure().message == f"PCI device {GPU} cannot be used: a program that has /dev/vfio/105 open"
    assert gpus.host.core.journal.assigned() == {}


@pytest.mark.parametrize(("bus", "words"), [(7, "driver nouveau has it"), (8, "does not admit"), (9, "does not admit")])
def test_a_plain_device_that_is_not_for_programs_is_refused(gpus: World, bus: int, words: str) -> None:
    gpus.controller.want(Verb.CREATE, devices=(replace(GPU, bus=bus),))
    gpus.settle()

    assert (gpus.failure().kind, words in gpus.failure().message) == (FailureKind.REFUSED, True)


def test_a_vf_of_an_accelerator_is_a_vf_for_programs(gpus: World) -> None:
    vf = gpus.host.kernel.add_device("0000:03:01.0", vendor_id="10de", driver=VFIO, parent="0000:03:00.0")

    gpus.controller.want(Verb.CREATE, devices=(vf.address,), run=True)
    gpus.settle()

    told = {device.address: device for device in gpus.controller.reports[-1].devices}[vf.address]
    assert (told.kind, told.parent, told.vf_driver) == (DeviceKind.VF, vf.parent, VFIO)
    assert (told.state, told.holder) == (DeviceState.HELD, UUID)


def test_an_operator_sees_plain_devices_beside_cards(gpus: World, capsys: pytest.CaptureFixture[str]) -> None:
    gpus.controller.want(Verb.CREATE, devices=(GPU,), run=True)
    gpus.settle()

    show(device_listing(gpus.host.core.devices, gpus.host.core.drivers), "json")

    rows = {row["address"]: row for row in json.loads(capsys.readouterr().out)}
    told = [(rows[key]["type"], rows[key]["state"], rows[key]["reason"]) for key in sorted(rows) if key > "0000:05"]
    assert told == [
        ("PCI", "assigned", f"container {UUID}"),
        ("PCI", "free", ""),
        ("PCI", "taken", "driver nouveau has it"),
    ]


def _with_vlan(settings: object) -> object:
    return replace(settings, vlan=7)  # type: ignore[type-var]
