"""Changing a card's number of VFs: when it is refused, what is undone, and that nobody can come in between."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from attach_world import World

from mooring.attach.pool import VfState
from mooring.attach.resize import CardResizer, Resized
from mooring.errors import DeviceBusy, DeviceUnusable, KernelRefused, NoFreeDevice
from mooring.pci.address import PciAddress
from mooring.pci.device import PhysicalFunction
from mooring.pci.device_spec import DeviceSpec

CARD = PciAddress.parse("0000:02:00.0")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.kill()


def resizer(world: World) -> CardResizer:
    return CardResizer(world.core.devices, world.core.engine.card_locks)


def shown(world: World) -> int:
    pf = world.kernel.find(CARD)
    assert isinstance(pf, PhysicalFunction)
    return len(pf.vfs)


@pytest.mark.parametrize("name", ["enp2s0", "0000:02:00.0"])
@pytest.mark.parametrize("vfs", [0, 1, 7])
def test_a_card_is_given_more_or_fewer_vfs_all_of_them_free(world: World, name: str, vfs: int) -> None:
    assert resizer(world).resize(name, vfs) == Resized(card=CARD, before=3, after=vfs)

    assert shown(world) == vfs
    assert world.unclean() == []
    assert world.core.journal.quarantined() == {}


def test_new_vfs_are_clean_as_they_were_made_and_stay_as_they_are(world: World) -> None:
    resizer(world).resize("enp2s0", 7)
    before = world.kernel.state()

    world.later()

    assert world.kernel.state() == before
    world.run(world.port())


def test_a_card_that_shows_that_many_already_is_left_alone_with_its_containers(world: World) -> None:
    world.run(world.port())
    before = world.kernel.state()

    assert resizer(world).resize("enp2s0", 3) == Resized(card=CARD, before=3, after=3)

    assert world.kernel.state() == before


def test_a_card_with_a_lease_is_refused_and_the_attachments_are_named(world: World) -> None:
    vf = world.run(world.port())
    leased = world.core.engine.lease(world.request(world.port(), "endpoint-2"))

    with pytest.raises(DeviceBusy) as refused:
        resizer(world).resize("enp2s0", 5)

    assert f"attachment endpoint-1 ({vf.address}), attachment endpoint-2 ({leased.device})" in str(refused.value)
    assert shown(world) == 3
    assert world.core.journal.quarantined() == {}


@pytest.mark.parametrize("name", ["enp2s0", "0000:02:00.0"])
def test_a_card_that_is_lent_as_a_whole_is_refused_by_either_name(world: World, name: str) -> None:
    world.run(world.port(vnic_type="direct-physical"))

    with pytest.raises(DeviceBusy, match=r"attachment endpoint-1 \(0000:02:00\.0\)"):
        resizer(world).resize(name, 5)

    assert shown(world) == 3


def test_another_cards_lease_is_no_hindrance(world: World) -> None:
    world.run(world.port())

    assert resizer(world).resize("enp1s0", 2).after == 2


def test_vfs_that_are_kept_ready_for_programs_are_no_hindrance_and_made_ready_again(tmp_path: Path) -> None:
    spec = '{"devname": "enp2s0", "physical_network": "physnet2", "vf_driver": "vfio-pci"}'
    world = World(tmp_path / "vfio", DeviceSpec.parse_all([spec]))
    world.later()

    resizer(world).resize("enp2s0", 5)
    world.later()

    assert {vf.driver for vf in world.pf(CARD).vfs} == {"vfio-pci"}
    assert world.unclean() == []
    world.kill()


def test_a_vf_that_somebody_uses_by_hand_is_not_taken_away(world: World) -> None:
    vf = world.kernel.vf(PciAddress.parse("0000:02:10.2"))
    world.kernel.add_address(vf, "192.0.2.9/24")

    with pytest.raises(DeviceBusy, match=rf"192\.0\.2\.9.*its VF {vf.address}; free the VF first"):
        resizer(world).resize("enp2s0", 5)

    assert shown(world) == 3
    assert world.core.journal.quarantined() == {}


@pytest.mark.parametrize("name", ["enp9s0", "0000:02:10.0", ""])
def test_what_is_no_card_of_this_host_is_refused_naming_those_that_are(world: World, name: str) -> None:
    with pytest.raises(DeviceUnusable, match=r"enp1s0 \(0000:01:00\.0\), enp2s0 \(0000:02:00\.0\)"):
        resizer(world).resize(name, 2)


def test_more_vfs_than_the_card_can_have_leave_those_it_has(world: World) -> None:
    before = world.kernel.state()

    with pytest.raises(KernelRefused, match="ERANGE"):
        resizer(world).resize("enp2s0", 8)

    assert world.kernel.state() == before
    assert world.unclean() == []


def test_who_asks_for_a_vf_meanwhile_is_told_that_there_is_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    resize = world.kernel.resize
    refusals: list[NoFreeDevice] = []

    def meanwhile(pf: PhysicalFunction, vfs: int) -> PhysicalFunction:
        with pytest.raises(NoFreeDevice) as refused:
            world.core.engine.lease(world.request(world.port()))
        refusals.append(refused.value)
        return resize(pf, vfs)

    monkeypatch.setattr(world.kernel, "resize", meanwhile)
    resizer(world).resize("enp2s0", 7)

    assert "3 quarantined" in str(refusals[0])
    assert world.run(world.port()).parent == CARD


def test_who_came_in_just_before_keeps_the_vf(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    quarantine = world.core.journal.quarantine

    def too_late(device: PciAddress, reason: str) -> None:
        if world.core.journal.leases() == ():
            world.core.engine.lease(world.request(world.port()))
        quarantine(device, reason)

    monkeypatch.setattr(world.core.journal, "quarantine", too_late)

    with pytest.raises(DeviceBusy, match="attachment endpoint-1"):
        resizer(world).resize("enp2s0", 7)

    assert shown(world) == 3
    assert world.core.journal.quarantined() == {}
    world.core.engine.attach("endpoint-1")


def test_a_round_does_not_wait_for_a_card_that_is_being_resized(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    resize, ended = world.kernel.resize, []

    def meanwhile(pf: PhysicalFunction, vfs: int) -> PhysicalFunction:
        round_ = threading.Thread(target=world.core.reconciler.sweep, daemon=True)
        round_.start()
        round_.join(timeout=5)
        ended.append(not round_.is_alive())
        return resize(pf, vfs)

    monkeypatch.setattr(world.kernel, "resize", meanwhile)
    resizer(world).resize("enp2s0", 7)

    assert ended == [True]


def _resized(world: World, vfs: int) -> bool:
    with suppress(KernelRefused):
        resizer(world).resize("enp2s0", vfs)
        return True
    return False


@pytest.mark.exhaustive
@pytest.mark.parametrize("reply_lost", [False, True])
def test_each_kernel_call_that_fails_leaves_the_card_as_it_was(world: World, *, reply_lost: bool) -> None:
    for number in range(1, 50):
        before = world.kernel.calls
        world.kernel.fail_call(number, reply_lost=reply_lost)
        succeeded = _resized(world, 5)
        if world.kernel.calls - before < number:
            world.kernel.failure = None
            assert number > 10
            assert shown(world) == 5
            return
        world.later()
        assert shown(world) == (5 if succeeded else 3), f"after failing call {number}"
        assert world.unclean() == [], f"after failing call {number}"
        _resized(world, 3)
    pytest.fail("the resizing never ended")


def test_a_vf_that_was_in_quarantine_stays_there_when_nothing_was_done(world: World) -> None:
    kept = PciAddress.parse("0000:02:10.2")
    world.core.journal.quarantine(kept, "it kept its VLAN")

    with pytest.raises(KernelRefused):
        resizer(world).resize("enp2s0", 8)
    assert world.core.journal.quarantined() == {kept: "it kept its VLAN"}

    resizer(world).resize("enp2s0", 7)
    assert world.core.journal.quarantined() == {}


@pytest.mark.parametrize("done", [False, True])
def test_killed_half_way_the_vfs_are_found_in_quarantine_and_taken_into_use_again(
    world: World, monkeypatch: pytest.MonkeyPatch, *, done: bool
) -> None:
    class Killed(BaseException):
        pass

    resize = world.kernel.resize

    def die(pf: PhysicalFunction, vfs: int) -> None:
        if done:
            resize(pf, vfs)
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(world.kernel, "resize", die)
        dying.setattr(CardResizer, "_undo", lambda *_: None)
        with pytest.raises(Killed):
            resizer(world).resize("enp2s0", 7)
    world.kill()

    world.start()
    world.later()
    assert world.unclean() == []
    assert world.core.journal.quarantined() == {}


def test_a_kernel_that_is_still_at_it_leaves_the_vfs_to_the_reconciler(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(pf: PhysicalFunction, vfs: int) -> None:
        del vfs
        raise KernelRefused("changing the number of VFs", pf.address, errno.ETIMEDOUT)

    with monkeypatch.context() as hanging:
        hanging.setattr(world.kernel, "resize", hang)
        with pytest.raises(KernelRefused, match="ETIMEDOUT"):
            resizer(world).resize("enp2s0", 7)

    states = {s.state for s in world.core.devices.pool.statuses() if s.pooled.pf.address == CARD}
    assert states == {VfState.QUARANTINED}
    world.later()
    assert world.unclean() == []
