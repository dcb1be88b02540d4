"""What goes wrong around the core: VFs that come home late, dirt, crashes, reboots, a kernel that refuses."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from attach_world import Core, World

from mooring.attach.pool import VfState
from mooring.attach.types import LeaseStep
from mooring.errors import KernelRefused
from mooring.pci.address import PciAddress
from mooring.pci.device import PhysicalFunction

SLOT = "0000:02:10.2"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.kill()


def test_a_vf_that_comes_home_late_under_another_name_is_cleaned_all_the_same(world: World) -> None:
    vf = world.run(world.port())
    world.kernel.container_dies(vf)

    world.core.engine.detach("endpoint-1")

    assert world.unclean() == []


def test_a_vf_that_never_came_home_is_fetched(world: World) -> None:
    world.run(world.port())

    world.core.engine.detach("endpoint-1")

    assert world.unclean() == []


def test_a_vf_that_left_the_host_takes_its_lease_with_it(world: World) -> None:
    vf = world.run(world.port())
    world.kernel.unplug(vf)

    world.core.engine.detach("endpoint-1")

    assert world.unclean() == []


def test_a_vf_that_does_not_come_clean_is_kept_away_until_it_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    vf = world.run(world.port())

    def refuse(*_: object) -> frozenset[str]:
        raise KernelRefused("setting the VLAN", vf.address, errno.EIO)

    with monkeypatch.context() as broken:
        broken.setattr(world.kernel, "write_settings", refuse)
        world.core.engine.detach("endpoint-1")
        world.core.reconciler.sweep()

    quarantined = [s for s in world.core.devices.pool.statuses() if s.state is VfState.QUARANTINED]
    assert [s.pooled.address for s in quarantined] == [vf.address]
    assert "EIO" in quarantined[0].reason

    world.later()
    assert world.unclean() == []


def test_a_free_vf_that_still_carries_the_ports_mac_is_cleaned_first(world: World) -> None:
    port = world.port()
    stray = world.kernel.vf(PciAddress.parse("0000:02:10.4"))
    world.kernel.write_settings(stray, replace(world.held(stray.address), mac=port.mac))

    vf = world.run(port)

    assert vf.address != stray.address
    assert world.held(stray.address).mac != port.mac


def test_dirt_that_somebody_left_on_a_free_vf_is_swept_away_when_it_stays(world: World) -> None:
    vf = world.kernel.vf(PciAddress.parse(SLOT))
    world.kernel.write_settings(vf, replace(world.held(vf.address), vlan=77, trust=True))

    world.core.reconciler.sweep()
    assert world.held(vf.address).vlan == 77, "somebody may be preparing it"
    assert [s.state for s in world.core.devices.pool.statuses() if s.pooled.address == vf.address] == [VfState.DIRTY]

    world.later()
    assert world.unclean() == []


def test_what_somebody_uses_by_hand_is_not_swept_away(world: World) -> None:
    vf = world.kernel.vf(PciAddress.parse(SLOT))
    world.kernel.write_settings(vf, replace(world.held(vf.address), vlan=77))
    world.kernel.add_address(vf, "192.0.2.9/24")

    world.later()

    assert world.held(vf.address).vlan == 77


def test_a_container_whose_end_nobody_told_is_ended_when_its_vf_stays_home(world: World) -> None:
    vf = world.run(world.port())
    world.later()
    assert [lease.attachment for lease in world.core.journal.leases()] == ["endpoint-1"]

    world.kernel.container_dies(vf)
    world.core.round()
    assert world.core.journal.leases() != (), "Docker may be about to tell"

    world.later()
    assert world.unclean() == []


def test_a_lease_whose_container_never_joined_is_ended(world: World) -> None:
    world.core.engine.lease(world.request(world.port()))

    world.core.round()
    assert world.core.journal.leases() != ()

    world.later()
    assert world.unclean() == []


def test_a_release_that_was_cut_off_is_finished_in_the_next_round(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(world.port())

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(world.core.journal, "end", full)
        with pytest.raises(OSError, match="No space left"):
            world.core.engine.detach("endpoint-1")
    assert [lease.step for lease in world.core.journal.leases()] == [LeaseStep.RELEASING]

    world.core.round()
    assert world.unclean() == []


def test_one_card_that_cannot_be_read_does_not_take_the_others_with_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_settings = world.kernel.read_settings

    def sick(pf: PhysicalFunction) -> object:
        if pf.netdev == "enp1s0":
            raise KernelRefused("reading the VFs", pf.address, errno.EIO)
        return read_settings(pf)

    monkeypatch.setattr(world.kernel, "read_settings", sick)
    world.kill()

    world.start()
    world.run(world.port())

    states = {status.pooled.pf.netdev: status for status in world.core.devices.pool.statuses()}
    assert states["enp1s0"].state is VfState.PF_SICK
    assert "EIO" in states["enp1s0"].reason


def test_after_a_reboot_the_leases_are_history_and_the_ports_are_unbound(world: World) -> None:
    world.run(world.port())
    world.kill()
    world.kernel.reboot()

    world.start()

    assert world.unclean() == []


def started_without_rounds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the daemon as far as its door: no round is made yet."""
    with monkeypatch.context() as patch:
        patch.setattr(Core, "round", lambda _: None)
        world.start()


def test_after_a_reboot_the_door_opens_without_a_question_to_neutron(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        world.run(world.port(), f"endpoint-{number}")
    world.kill()
    world.kernel.reboot()
    world.neutron.calls.clear()

    started_without_rounds(world, monkeypatch)

    assert world.neutron.calls == []
    assert world.core.journal.leases() == ()
    world.later()
    assert world.unclean() == []


def test_an_open_vswitch_that_is_slow_after_a_reboot_does_not_keep_the_door_closed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        world.run(world.port(vnic_type="normal"), f"endpoint-{number}")
    world.kill()
    world.kernel.reboot()
    unplug, began = world.switch.unplug, world.now_s

    def slowly(name: str) -> None:
        world.now_s += 8
        unplug(name)

    with monkeypatch.context() as patch:
        patch.setattr(world.switch, "unplug", slowly)
        started_without_rounds(world, monkeypatch)

    assert world.now_s - began == 16
    assert {lease.step for lease in world.core.journal.leases()} == {LeaseStep.RELEASING}
    world.later()
    assert world.unclean() == []
