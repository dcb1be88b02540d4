"""The pool: which VFs may be handed out, in which order, and what is said when one may not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from attach_world import a_lease

from mooring.attach.devices import Devices, devices_of
from mooring.attach.journal import Journal
from mooring.attach.pool import VfState
from mooring.attach.types import Lease, LeaseStep
from mooring.errors import DeviceBusy, DeviceUnusable, NoFreeDevice
from mooring.host.kernel import VfSettings
from mooring.neutron.model import Port
from mooring.pci.address import PciAddress
from mooring.pci.device import PhysicalFunction
from mooring.pci.device_spec import DeviceSpec
from mooring.testing.kernel import FakeKernel
from mooring.testing.switch import FakeSwitch

SPECS = DeviceSpec.parse_all(
    [
        '{"devname": "enp1s0", "physical_network": "physnet1"}',
        '{"devname": "enp2s0", "physical_network": "physnet1"}',
        '{"devname": "enp3s0", "physical_network": "physnet2"}',
    ]
)


@pytest.fixture
def kernel() -> FakeKernel:
    kernel = FakeKernel()
    kernel.add_pf("0000:01:00.0", "enp1s0", vfs=2, numa_node=0)
    kernel.add_pf("0000:02:00.0", "enp2s0", vfs=2, numa_node=1)
    kernel.add_pf("0000:03:00.0", "enp3s0", vfs=2)
    kernel.add_pf("0000:04:00.0", "enp4s0", vfs=2)
    return kernel


@pytest.fixture
def devices(kernel: FakeKernel, tmp_path: Path) -> Iterator[Devices]:
    journal = Journal(tmp_path / "node.sqlite")
    devices = devices_of(kernel, kernel, FakeSwitch(), journal, SPECS)
    devices.pool.rescan()
    yield devices
    journal.close()


def pf_of(kernel: FakeKernel, name: str) -> PhysicalFunction:
    return next(pf for pf in kernel.physical_functions() if pf.netdev == name)


def lease_of(devices: Devices, address: PciAddress) -> Lease:
    member = next(member for member in devices.pool.members() if member.address == address)
    port = Port(id=f"port of {address}", network_id="net", mac="fa:16:3e:00:00:01", revision=1)
    lease = a_lease(
        id=str(address),
        attachment=f"{address}",
        boot_id=devices.kernel.boot_id(),
        device=address,
        parent=member.pf.address,
        physical_network=member.physical_network,
        step=LeaseStep.READY,
        port=port,
        former=port,
    )
    devices.journal.add(lease)
    return lease


def first(devices: Devices, physical_network: str = "physnet1", numa_node: int | None = None) -> str:
    return str(next(devices.pool.candidates(physical_network, numa_node=numa_node)).address)


def test_the_agents_mappings_name_the_pfs_behind_each_physical_network(devices: Devices) -> None:
    assert devices.pool.mappings() == {"physnet1": ("enp1s0", "enp2s0"), "physnet2": ("enp3s0",)}


def test_the_least_used_pf_is_preferred(devices: Devices) -> None:
    assert first(devices) == "0000:01:10.0"

    lease_of(devices, PciAddress.parse("0000:01:10.0"))

    assert first(devices) == "0000:02:10.0"


def test_the_wanted_numa_node_is_preferred_to_the_least_used_pf(devices: Devices) -> None:
    lease_of(devices, PciAddress.parse("0000:02:10.0"))

    assert first(devices, numa_node=1) == "0000:02:10.2"


def test_a_full_physical_network_says_what_became_of_its_vfs(devices: Devices, kernel: FakeKernel) -> None:
    lease_of(devices, PciAddress.parse("0000:01:10.0"))
    devices.journal.quarantine(PciAddress.parse("0000:01:10.2"), "the VLAN stayed")
    kernel.set_pf_up(pf_of(kernel, "enp2s0"), up=False)

    with pytest.raises(NoFreeDevice, match=r"0 of 4 VFs free \(1 leased, 2 pf-down, 1 quarantined\)"):
        next(devices.pool.candidates("physnet1"))


def test_vfs_that_appear_later_are_found_without_a_restart(devices: Devices, kernel: FakeKernel) -> None:
    for vf in pf_of(kernel, "enp3s0").vfs:
        lease_of(devices, vf.address)
    kernel.unplug(pf_of(kernel, "enp3s0"))

    kernel.add_pf("0000:03:00.0", "enp3s0", vfs=3)

    assert first(devices, "physnet2") == "0000:03:10.4"


def test_a_vf_taken_by_hand_is_passed_over(devices: Devices, kernel: FakeKernel) -> None:
    vfs = pf_of(kernel, "enp3s0").vfs
    kernel.move_to_container(vfs[0], "eth0", container="by hand")

    assert first(devices, "physnet2") == str(vfs[1].address)

    kernel.bind_driver(vfs[1], "vfio-pci")

    with pytest.raises(NoFreeDevice, match="2 taken"):
        next(devices.pool.candidates("physnet2"))


def test_a_vf_with_foreign_settings_is_not_handed_out(devices: Devices, kernel: FakeKernel) -> None:
    pf = pf_of(kernel, "enp3s0")
    states = {status.pooled.address: status.state for status in devices.pool.statuses()}
    assert states[pf.vfs[0].address] is VfState.FREE

    kernel.write_settings(pf.vfs[0], replace(kernel.read_settings(pf)[0], vlan=77))

    assert first(devices, "physnet2") == str(pf.vfs[1].address)


def test_a_named_vf_must_be_there(devices: Devices) -> None:
    with pytest.raises(DeviceUnusable, match="no such device on this host"):
        devices.pool.named(PciAddress.parse("0000:99:10.0"), "physnet1")


def test_a_named_device_must_be_a_vf(devices: Devices, kernel: FakeKernel) -> None:
    other = kernel.add_device("0000:05:00.0")

    with pytest.raises(DeviceUnusable, match="a physical function"):
        devices.pool.named(PciAddress.parse("0000:01:00.0"), "physnet1")
    with pytest.raises(DeviceUnusable, match="not a virtual function"):
        devices.pool.named(other.address, "physnet1")


def test_a_named_vf_must_be_admitted_by_the_device_spec(devices: Devices) -> None:
    with pytest.raises(DeviceUnusable, match="device_spec of this host does not admit it"):
        devices.pool.named(PciAddress.parse("0000:04:10.0"), "physnet1")


def test_a_named_vf_must_be_on_the_ports_physical_network(devices: Devices) -> None:
    with pytest.raises(DeviceUnusable, match="it is on physnet2, but the port's network is on physnet1"):
        devices.pool.named(PciAddress.parse("0000:03:10.0"), "physnet1")


def test_a_named_vf_must_be_free(devices: Devices, kernel: FakeKernel) -> None:
    taken, leased = pf_of(kernel, "enp3s0").vfs
    lease_of(devices, leased.address)
    kernel.add_address(taken, "192.0.2.1/24")

    with pytest.raises(DeviceBusy, match=r"in use by attachment 0000:03:10\.2; .*docker network inspect"):
        devices.pool.named(leased.address, "physnet2")
    with pytest.raises(DeviceBusy, match=r"in use by the host, with 192\.0\.2\.1/24"):
        devices.pool.named(taken.address, "physnet2")


def test_a_vf_that_is_leased_and_programmed_during_a_look_is_not_called_dirty(
    kernel: FakeKernel, devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    vf = pf_of(kernel, "enp1s0").vfs[0]
    read = kernel.read_settings

    def read_late(pf: PhysicalFunction) -> Mapping[int, VfSettings]:
        if devices.journal.holder(vf.address) is None:
            lease_of(devices, vf.address)
            kernel.write_settings(vf, VfSettings(mac="fa:16:3e:00:00:01", vlan=100))
        return read(pf)

    monkeypatch.setattr(kernel, "read_settings", read_late)

    assert devices.pool.statuses()[0].state is VfState.LEASED
