"""VFs for programs that drive them: bound to vfio-pci, without an interface, named in what container engines read."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from attach_faults import Faults, turning_points
from attach_world import SPECS, World
from structlog.testing import capture_logs

from mooring.attach.findings import FindingKind
from mooring.attach.pool import VfState
from mooring.attach.publishing import VfioDevice
from mooring.attach.resize import CardResizer
from mooring.attach.types import Lease, LeaseStep
from mooring.errors import DeviceBusy, DeviceGone, DeviceUnusable, KernelRefused, NoFreeDevice
from mooring.host.kernel import VFIO
from mooring.node.cdi import CdiFile
from mooring.pci.address import PciAddress
from mooring.pci.device_spec import DeviceSpec

TAGGED = PciAddress.parse("0000:02:10.2")
TAG = DeviceSpec.parse_all([f'{{"address": "{TAGGED}", "physical_network": "physnet2", "vf_driver": "vfio-pci"}}'])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.kill()


@pytest.fixture
def tagged(tmp_path: Path) -> Iterator[World]:
    """A host, one of whose VFs is kept bound to vfio-pci."""
    world = World(tmp_path, TAG + SPECS)
    yield world
    world.kill()


def lease_of(world: World, attachment: str = "endpoint-1") -> Lease:
    lease = world.core.engine.find(attachment)
    assert lease is not None
    return lease


def state_of(world: World, address: PciAddress) -> VfState:
    (state,) = (found.state for found in world.core.devices.pool.statuses() if found.pooled.address == address)
    return state


def test_the_vf_that_a_program_gets_holds_the_ports_settings_and_has_no_interface(world: World) -> None:
    port = world.port()

    vf = world.run(port, vf_driver=VFIO)

    assert (vf.driver, vf.netdev, vf.elsewhere) == (VFIO, None, False)
    held = world.held(vf.address)
    assert (held.mac, held.vlan, held.spoof_check) == (port.mac, 150, True)
    attachment = world.core.engine.attach("endpoint-1")
    assert attachment.interface == ""
    assert attachment.device_nodes == ("/dev/vfio/vfio", world.kernel.vfio_group(vf))
    assert world.check() == ()


def test_a_vf_that_has_left_vfio_before_its_nodes_are_told_is_given_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.kernel, "vfio_group", lambda _: None)

    with pytest.raises(DeviceGone, match="handing it over"):
        world.run(world.port(), vf_driver=VFIO)

    assert world.unclean() == []


def test_its_port_is_bound_and_becomes_active_as_any_other(world: World) -> None:
    port = world.port()

    vf = world.run(port, vf_driver=VFIO)
    world.core.settlement.settle()

    bound = world.neutron.now(port.id)
    assert (bound.vif_type, bound.profile["pci_slot"], bound.status) == ("hw_veb", str(vf.address), "ACTIVE")


def test_it_is_published_under_its_ports_id_as_long_as_it_is_leased(world: World) -> None:
    port = world.port()

    vf = world.run(port, vf_driver=VFIO)
    assert world.catalogue.devices == (
        VfioDevice(name=port.id, address=vf.address, group=world.kernel.vfio_group(vf) or ""),
    )

    world.end()
    assert world.catalogue.devices == ()
    assert world.unclean() == []


def test_a_vf_of_the_device_spec_is_bound_beforehand_and_published_under_its_address(tagged: World) -> None:
    assert tagged.kernel.vf(TAGGED).driver == VFIO
    assert tagged.catalogue.names == [str(TAGGED)]
    assert state_of(tagged, TAGGED) is VfState.FREE

    port = tagged.port(profile={"pci_slot": str(TAGGED)})
    assert tagged.run(port).driver == VFIO
    assert tagged.catalogue.names == [str(TAGGED), port.id]

    tagged.end()
    assert tagged.kernel.vf(TAGGED).driver == VFIO, "Docker may look for it at once, to start the container again"
    assert tagged.catalogue.names == [str(TAGGED)]
    assert tagged.unclean() == []


def test_a_program_gets_a_vf_that_is_kept_for_programs_first_and_an_interface_one_that_is_not(tagged: World) -> None:
    assert tagged.run(tagged.port(), "endpoint-1").netdev is None
    assert tagged.run(tagged.port(), "endpoint-2", vf_driver=VFIO).address == TAGGED
    assert tagged.run(tagged.port(), "endpoint-3", vf_driver=VFIO).address != TAGGED
    assert tagged.kernel.vf(lease_of(tagged, "endpoint-1").device).elsewhere

    with pytest.raises(NoFreeDevice, match="3 leased"):
        tagged.core.engine.lease(tagged.request(tagged.port(), "endpoint-9"))


def test_a_container_that_wants_an_interface_gets_a_vf_that_is_kept_for_programs_only_by_name(tagged: World) -> None:
    for number in range(2):
        tagged.run(tagged.port(), f"endpoint-{number}")

    with pytest.raises(DeviceUnusable, match=f"{TAGGED} cannot be used: the device spec keeps it bound to vfio-pci"):
        tagged.core.engine.lease(tagged.request(tagged.port(), "endpoint-9"))
    assert tagged.run(tagged.port(profile={"pci_slot": str(TAGGED)}), "endpoint-9").address == TAGGED


def test_where_all_vfs_are_kept_for_programs_every_port_gets_one(tmp_path: Path) -> None:
    every = '{"devname": "enp2s0", "physical_network": "physnet2", "vf_driver": "vfio-pci"}'
    world = World(tmp_path, DeviceSpec.parse_all([every]))

    assert world.run(world.port()).driver == VFIO

    world.end()
    assert world.unclean() == []
    world.kill()


def test_a_macvtap_never_gets_a_vf_that_is_kept_for_programs(tagged: World) -> None:
    with pytest.raises(DeviceUnusable, match="keeps it bound to vfio-pci"):
        tagged.core.engine.lease(tagged.request(tagged.port(vnic_type="macvtap", profile={"pci_slot": str(TAGGED)})))

    assert tagged.run(tagged.port(vnic_type="macvtap")).address != TAGGED


def test_a_card_may_be_lent_as_a_whole_although_a_vf_of_it_is_kept_for_programs(tagged: World) -> None:
    tagged.run(tagged.port(vnic_type="direct-physical"))
    tagged.later()
    tagged.end()
    tagged.later()

    assert tagged.unclean() == []


def test_a_group_that_a_program_still_has_open_is_kept_away_until_it_is_closed(world: World) -> None:
    vf = world.run(world.port(), vf_driver=VFIO)

    world.core.engine.detach("endpoint-1")
    world.later()
    assert state_of(world, vf.address) is VfState.QUARANTINED
    assert world.kernel.vf(vf.address).driver == VFIO
    assert world.catalogue.devices == ()

    world.kernel.close_vfio(vf)
    world.later()
    assert world.unclean() == []


def test_a_quarantined_vf_is_not_published_under_its_address_either(tagged: World) -> None:
    tagged.run(tagged.port(profile={"pci_slot": str(TAGGED)}))

    tagged.core.engine.detach("endpoint-1")

    assert tagged.catalogue.devices == ()


def test_the_end_of_a_container_is_learnt_from_docker(world: World) -> None:
    world.containers = set()
    world.run(world.port(), vf_driver=VFIO)
    world.later()
    assert lease_of(world).step is LeaseStep.READY

    world.die(lease_of(world))
    world.later()

    assert world.unclean() == []


def test_a_vf_that_somebody_gave_back_to_its_network_driver_is_reported_and_its_container_left_alone(
    world: World,
) -> None:
    vf = world.run(world.port(), vf_driver=VFIO)
    world.kernel.bind_driver(vf, "igbvf")

    world.later()

    assert world.core.reconciler.findings.counts()[FindingKind.DEVICE_TAKEN.value] == 1
    assert lease_of(world).step is LeaseStep.READY


def test_a_vf_that_cannot_be_kept_for_programs_stays_quarantined_and_is_told_of_once(tmp_path: Path) -> None:
    world = World(tmp_path, SPECS)
    world.kill()
    world.kernel.iommu = False
    world._specs = TAG + SPECS

    with capture_logs() as said:
        world.start()
        world.later()
        world.later()

    assert state_of(world, TAGGED) is VfState.QUARANTINED
    assert [line["event"] for line in said].count("vf.quarantined") == 1
    world.kernel.iommu = True
    world.later()
    assert world.unclean() == []
    world.kill()


def test_a_host_without_iommu_refuses_and_gives_the_vf_back(world: World) -> None:
    world.kernel.iommu = False
    world.core.engine.lease(world.request(world.port(), vf_driver=VFIO))

    with pytest.raises(KernelRefused, match="no IOMMU"):
        world.core.engine.attach("endpoint-1")

    assert world.unclean() == []


@pytest.mark.exhaustive
def test_a_daemon_killed_at_any_call_keeps_a_vf_for_programs_all_the_same(
    tagged: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = Faults(tagged, monkeypatch)

    def live() -> None:
        tagged.run(tagged.port(profile={"pci_slot": str(TAGGED)}))
        tagged.end()

    for number in turning_points(faults.walk(live)):
        with faults.killing(number) as fate:
            live()
        assert fate.came
        tagged.kill()
        tagged.kernel.close_vfio(tagged.kernel.vf(TAGGED))
        tagged.start()
        tagged.core.engine.detach("endpoint-1")
        tagged.later()
        assert (tagged.unclean(), tagged.catalogue.names) == ([], [str(TAGGED)]), f"killed at call {number}"


def test_a_prepared_vf_that_some_container_opened_without_a_port_is_taken(tagged: World) -> None:
    assert state_of(tagged, TAGGED) is VfState.FREE
    tagged.kernel.open_vfio(tagged.kernel.vf(TAGGED))

    assert state_of(tagged, TAGGED) is VfState.TAKEN
    with pytest.raises(DeviceBusy, match="a program that has /dev/vfio/"):
        tagged.run(tagged.port(profile={"pci_slot": str(TAGGED)}))
    with pytest.raises(DeviceBusy, match="a program that has /dev/vfio/"):
        CardResizer(tagged.core.devices, tagged.core.engine.card_locks).resize("enp2s0", 0)

    tagged.kernel.close_vfio(tagged.kernel.vf(TAGGED))
    tagged.run(tagged.port(profile={"pci_slot": str(TAGGED)}))


def test_a_prepared_vf_that_is_dirty_and_not_open_is_cleaned(tagged: World) -> None:
    vf = tagged.kernel.vf(TAGGED)
    tagged.kernel.write_settings(vf, replace(tagged.held(TAGGED), vlan=77))
    tagged.kernel.open_vfio(vf)

    tagged.later()
    assert (state_of(tagged, TAGGED), tagged.held(TAGGED).vlan) == (VfState.TAKEN, 77)

    tagged.kernel.close_vfio(vf)
    tagged.later()
    assert (state_of(tagged, TAGGED), tagged.held(TAGGED).vlan) == (VfState.FREE, 0)


def test_a_vf_that_a_kill_left_without_any_driver_is_cleaned(world: World) -> None:
    vf = world.run(world.port(), vf_driver=VFIO)
    world.kernel.close_vfio(vf)
    world.kernel.bind_driver(vf, None)

    world.core.engine.detach("endpoint-1")

    assert world.unclean() == []


def test_after_a_reboot_the_groups_are_others_and_published_as_such(tagged: World) -> None:
    (before,) = tagged.catalogue.devices
    tagged.run(tagged.port(profile={"pci_slot": str(TAGGED)}))
    tagged.kill()
    tagged.kernel.reboot()

    tagged.start()

    (after,) = tagged.catalogue.devices
    assert after.name == before.name
    assert after.group != before.group
    assert tagged.unclean() == []


def test_what_cannot_be_published_is_told_once_and_published_when_it_can(world: World) -> None:
    world.catalogue.broken = True
    port = world.port()
    with capture_logs() as said:
        world.run(port, vf_driver=VFIO)
        world.later()
    assert [line["event"] for line in said].count("vfio.not-published") == 1

    world.catalogue.broken = False
    world.core.round()
    assert world.catalogue.names == [port.id]


def devices(*names: str) -> tuple[VfioDevice, ...]:
    return tuple(VfioDevice(name=name, address=TAGGED, group="/dev/vfio/12") for name in names)


def test_the_cdi_file_is_what_container_engines_read(tmp_path: Path) -> None:
    path = tmp_path / "cdi" / "mooring.json"
    port_id = "0b1c2d3e-0000-4000-8000-000000000001"

    CdiFile(path).write(devices(str(TAGGED), port_id))

    edits = {
        "env": [f"MOORING_VF={TAGGED}"],
        "deviceNodes": [{"path": "/dev/vfio/vfio"}, {"path": "/dev/vfio/12"}],
    }
    assert json.loads(path.read_text()) == {
        "cdiVersion": "0.5.0",
        "kind": "mooring/vf",
        "devices": [{"name": str(TAGGED), "containerEdits": edits}, {"name": port_id, "containerEdits": edits}],
    }
    assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444
    assert [file.name for file in path.parent.iterdir()] == ["mooring.json"]


def test_the_cdi_file_goes_with_the_last_device_and_stays_untouched_while_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "mooring.json"
    file = CdiFile(path)
    file.write(devices("a"))
    before = path.stat().st_ino

    file.write(devices("a"))
    assert path.stat().st_ino == before

    file.write(())
    file.write(())
    assert not path.exists()


def test_a_cdi_file_that_cannot_be_written_says_where_and_why(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")

    with pytest.raises(KernelRefused, match=r"writing the CDI specification failed on .*taken/mooring\.json"):
        CdiFile(tmp_path / "taken" / "mooring.json").write(devices("a"))
