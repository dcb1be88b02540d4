"""mooring gc: what is taken away, and what never is."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from attach_world import HOST, OWNER, World

from mooring.attach.gc import Deed, DeedKind, GarbageCollector
from mooring.attach.types import LeaseStep
from mooring.errors import KernelRefused, OperationRefused
from mooring.pci.address import PciAddress

VF = PciAddress.parse("0000:02:10.2")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.containers = set()
    yield world
    world.kill()


def forget(world: World, *attachments: str) -> None:
    """Let Docker not know these attachments (any more)."""
    assert world.containers is not None
    world.containers -= set(attachments)


class Clock:
    """Remembers the pauses; ``meanwhile`` is what happens in one."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self.meanwhile = lambda: None

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.meanwhile()


def collector(world: World, clock: Clock | None = None) -> GarbageCollector:
    return GarbageCollector(
        devices=world.core.devices,
        engine=world.core.engine,
        settlement=world.core.settlement,
        ports=world.neutron,
        containers=world,
        owners=[OWNER],
        pause=(clock or Clock()).pause,
    )


def done(deeds: tuple[Deed, ...]) -> list[tuple[DeedKind, str]]:
    return [(deed.kind, deed.subject) for deed in deeds if not deed.failure]


def test_a_host_in_order_has_nothing_to_take_away_and_nobody_waits(world: World) -> None:
    world.run(world.port())
    clock = Clock()

    assert collector(world, clock).collect(dry_run=False) == ()
    assert clock.pauses == []


def test_an_attachment_without_a_container_is_ended_and_a_living_ones_is_not(world: World) -> None:
    world.run(world.port(), "dead")
    kept = world.run(world.port(), "living")
    world.containers = {"living"}
    before = world.kernel.vf(kept.address)

    deeds = collector(world).collect(dry_run=False)

    assert done(deeds) == [(DeedKind.ENDED, "dead")]
    assert [lease.attachment for lease in world.core.journal.leases()] == ["living"]
    assert world.kernel.vf(kept.address) == before


def test_a_dry_run_tells_all_of_it_and_does_nothing(world: World) -> None:
    ended, orphan, owed = world.port(), world.port(), world.port()
    world.run(ended, "dead")
    forget(world, "dead")
    world.run(owed, "second")
    world.neutron.unreachable = True
    world.core.engine.detach("second")
    world.neutron.unreachable = False
    change = {"binding:host_id": HOST, "device_owner": OWNER, "device_id": "nobody"}
    world.neutron.change_port(orphan.id, **change)
    dirty = PciAddress.parse("0000:02:10.4")
    world.kernel.write_settings(world.kernel.vf(dirty), replace(world.held(dirty), vlan=77))
    host, leases, debts = world.kernel.state(), world.core.journal.leases(), world.core.journal.debts()

    deeds = collector(world).collect(dry_run=True)

    assert done(deeds) == [
        (DeedKind.ENDED, "dead"),
        (DeedKind.UNBOUND, orphan.id),
        (DeedKind.PAID, owed.id),
        (DeedKind.CLEANED, str(dirty)),
    ]
    assert (world.kernel.state(), world.core.journal.leases(), world.core.journal.debts()) == (host, leases, debts)

    assert set(done(deeds)) <= set(done(collector(world).collect(dry_run=False)))
    assert world.unclean() == []


def test_without_an_answer_from_docker_nothing_is_done(world: World) -> None:
    world.run(world.port())
    world.containers = None

    for alone in (False, True):
        with pytest.raises(OperationRefused, match="systemctl start docker"):
            collector(world).collect(dry_run=False, alone=alone)

    assert len(world.core.journal.leases()) == 1


def test_docker_that_goes_away_between_the_two_looks_ends_nothing(world: World) -> None:
    world.run(world.port())
    forget(world, "endpoint-1")
    clock = Clock()
    clock.meanwhile = lambda: setattr(world, "containers", None)

    with pytest.raises(OperationRefused):
        collector(world, clock).collect(dry_run=False)

    assert len(world.core.journal.leases()) == 1


def test_a_container_that_docker_knows_at_the_second_look_keeps_its_attachment(world: World) -> None:
    world.run(world.port())
    forget(world, "endpoint-1")
    clock = Clock()
    clock.meanwhile = lambda: setattr(world, "containers", {"endpoint-1"})

    assert collector(world, clock).collect(dry_run=False) == ()
    assert clock.pauses == [5.0]
    assert len(world.core.journal.leases()) == 1


def test_a_start_that_is_under_way_is_left_alone(world: World) -> None:
    world.core.engine.lease(world.request(world.port()))

    assert collector(world).collect(dry_run=False) == ()
    assert [lease.step for lease in world.core.journal.leases()] == [LeaseStep.LEASED]


def test_an_attachment_that_became_ready_between_the_two_looks_is_left_alone(world: World) -> None:
    world.run(world.port(), "dead")
    forget(world, "dead")
    clock = Clock()

    def start() -> None:
        world.run(world.port(), "young")
        forget(world, "young")

    clock.meanwhile = start

    assert done(collector(world, clock).collect(dry_run=False)) == [(DeedKind.ENDED, "dead")]
    assert [lease.attachment for lease in world.core.journal.leases()] == ["young"]


def test_a_removal_that_ends_by_itself_meanwhile_is_not_done_twice(world: World) -> None:
    world.run(world.port())
    forget(world, "endpoint-1")
    clock = Clock()
    clock.meanwhile = lambda: world.core.engine.detach("endpoint-1")

    assert collector(world, clock).collect(dry_run=False) == ()
    assert world.unclean() == []


@pytest.mark.parametrize("vnic_type", ["direct", "macvtap", "normal"])
def test_attachments_of_every_kind_are_ended(world: World, vnic_type: str) -> None:
    world.run(world.port(vnic_type=vnic_type))
    forget(world, "endpoint-1")

    assert done(collector(world).collect(dry_run=False)) == [(DeedKind.ENDED, "endpoint-1")]
    assert world.unclean() == []


def test_a_card_that_cannot_be_fetched_home_is_told_and_its_lease_stays(world: World) -> None:
    world.run(world.port(vnic_type="direct-physical"))
    forget(world, "endpoint-1")

    (deed,) = collector(world).collect(dry_run=False)

    assert "does not come home" in deed.failure
    assert [lease.step for lease in world.core.journal.leases()] == [LeaseStep.RELEASING]


def test_ports_of_others_on_this_host_stay_bound(world: World) -> None:
    port = world.port()
    change = {"binding:host_id": HOST, "device_owner": "compute:nova", "device_id": "vm"}
    world.neutron.change_port(port.id, **change)

    assert collector(world).collect(dry_run=False) == ()
    assert world.neutron.now(port.id).host == HOST


def test_neutron_away_is_told_and_hinders_nothing_else(world: World) -> None:
    port = world.port()
    world.run(port)
    forget(world, "endpoint-1")
    world.neutron.unreachable = True

    deeds = collector(world).collect(dry_run=False)

    assert done(deeds) == [(DeedKind.ENDED, "endpoint-1")]
    assert [(deed.kind, deed.subject) for deed in deeds if deed.failure] == [
        (DeedKind.UNBOUND, f"ports of host {HOST}"),
        (DeedKind.PAID, port.id),
    ]

    world.neutron.unreachable = False
    assert done(collector(world).collect(dry_run=False)) == [(DeedKind.PAID, port.id)]
    assert world.unclean() == []


def test_a_vf_that_does_not_come_clean_is_told_with_the_reason(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.core.journal.quarantine(VF, "it kept its VLAN")

    def refuse(*_: object) -> frozenset[str]:
        raise KernelRefused("setting the VLAN", VF, errno.EIO)

    with monkeypatch.context() as broken:
        broken.setattr(world.kernel, "write_settings", refuse)
        (deed,) = collector(world).collect(dry_run=False)
    assert (deed.kind, deed.subject) == (DeedKind.CLEANED, str(VF))
    assert "EIO" in deed.failure

    assert done(collector(world).collect(dry_run=False)) == [(DeedKind.CLEANED, str(VF))]
    assert world.unclean() == []


@pytest.mark.parametrize("is_quarantined", [False, True])
def test_a_vf_that_somebody_uses_by_hand_is_left_alone(world: World, *, is_quarantined: bool) -> None:
    vf = world.kernel.vf(VF)
    if is_quarantined:
        world.core.journal.quarantine(VF, "it kept its VLAN")
    world.kernel.write_settings(vf, replace(world.held(VF), vlan=77))
    world.kernel.add_address(vf, "192.0.2.9/24")

    assert collector(world).collect(dry_run=False) == ()
    assert world.held(VF).vlan == 77


@pytest.mark.parametrize("step", [step for step in LeaseStep if step is not LeaseStep.READY])
def test_what_a_dead_daemon_left_half_done_is_undone(world: World, step: LeaseStep) -> None:
    lease = world.core.engine.lease(world.request(world.port()))
    if step is not LeaseStep.LEASED:
        world.core.engine.attach("endpoint-1")
        attached = world.core.engine.find("endpoint-1")
        assert attached is not None
        lease = world.core.journal.save(replace(attached, step=step))

    (planned,) = collector(world).collect(dry_run=True, alone=True)
    assert world.core.journal.leases() == (lease,)

    assert planned in collector(world).collect(dry_run=False, alone=True)
    world.later()
    assert world.unclean() == []


def test_without_a_daemon_a_start_that_docker_will_go_on_with_is_kept(world: World) -> None:
    world.core.engine.lease(world.request(world.port()))
    world.containers = {"endpoint-1"}

    assert collector(world).collect(dry_run=False, alone=True) == ()
    assert len(world.core.journal.leases()) == 1


def test_leases_of_an_earlier_boot_are_history(world: World) -> None:
    world.run(world.port())
    forget(world, "endpoint-1")
    world.kernel.reboot()

    (planned,) = collector(world).collect(dry_run=True, alone=True)
    assert planned.kind is DeedKind.ENDED

    (deed, *_) = collector(world).collect(dry_run=False, alone=True)

    assert "started anew" in deed.reason
    world.later()
    assert world.unclean() == []
