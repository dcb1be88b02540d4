"""What the core owes Neutron, and a Neutron that is away, late, or answers into the void."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from attach_world import HOST, World

from mooring.attach.pool import VfState
from mooring.errors import NeutronUnreachable
from mooring.neutron.model import Port

SLOT = "0000:02:10.2"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.kill()


def test_removal_does_not_wait_for_a_neutron_that_is_away_and_pays_later(world: World) -> None:
    port = world.port()
    world.run(port)
    world.neutron.unreachable = True

    world.end()

    assert [entry.debt.port.id for entry in world.core.journal.debts()] == [port.id]
    assert all(status.state is VfState.FREE for status in world.core.devices.pool.statuses())
    world.neutron.unreachable = False
    world.core.settlement.settle()
    assert world.unclean() == []


def test_a_neutron_that_is_away_is_asked_once_not_at_every_removal(world: World) -> None:
    for number in range(3):
        world.run(world.port(), f"endpoint-{number}")
    world.neutron.unreachable = True
    world.neutron.calls.clear()

    for number in range(3):
        world.end(f"endpoint-{number}")

    assert len(world.neutron.calls) == 1
    assert len(world.core.journal.debts()) == 3


def test_a_port_that_neutron_never_answers_for_does_not_keep_the_others_bound(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, other, third = (world.port() for _ in range(3))
    for port in (stuck, other, third):
        world.run(port, port.id)
    world.neutron.unreachable = True
    for port in (stuck, other, third):
        world.end(port.id)
    world.neutron.unreachable = False
    unbind = world.neutron.unbind

    def hang(port: Port, **more: Mapping[str, object]) -> None:
        if port.id == stuck.id:
            raise NeutronUnreachable(f"unbinding port {port.id}", "timed out")
        unbind(port, **more)

    monkeypatch.setattr(world.neutron, "unbind", hang)
    for _ in range(3):
        world.core.settlement.settle()

    assert [entry.debt.port.id for entry in world.core.journal.debts()] == [stuck.id]
    assert {world.neutron.now(port.id).host for port in (other, third)} == {""}


def test_a_start_fails_clearly_while_neutron_is_away_and_leaves_nothing(world: World) -> None:
    world.core.engine.lease(world.request(world.port()))
    world.neutron.unreachable = True

    with pytest.raises(NeutronUnreachable, match="Neutron did not answer"):
        world.core.engine.attach("endpoint-1")

    world.neutron.unreachable = False
    world.later()
    assert world.unclean() == []


def test_a_port_whose_unbinding_is_owed_can_be_used_again_at_once(world: World) -> None:
    port = world.port()
    vf = world.run(port)
    world.neutron.unreachable = True
    world.end()
    world.neutron.unreachable = False
    # Somebody else has taken the VF that the port's profile still names: it was mooring's choice, not the user's.
    world.kernel.add_address(world.kernel.vf(vf.address), "192.0.2.9/24")

    again = world.run(port, "endpoint-2")

    assert again.address != vf.address
    world.core.settlement.settle()
    assert world.neutron.now(port.id).device_id == "endpoint-2"
    world.end("endpoint-2")
    assert world.neutron.now(port.id).profile == {}


def test_a_binding_that_neutron_carries_out_late_is_undone_too(world: World) -> None:
    port = world.port()
    world.core.engine.lease(world.request(port))
    world.neutron.fail_call(1)
    with pytest.raises(NeutronUnreachable):
        world.core.engine.attach("endpoint-1")
    assert world.neutron.now(port.id).host == ""

    # Neutron had the request in its queue all the time.
    late = {"binding:host_id": HOST, "device_id": "endpoint-1", "device_owner": "compute:kuryr"}
    world.neutron.change_port(port.id, **late)

    world.later()
    assert world.unclean() == []


def test_a_port_read_just_before_it_was_given_back_keeps_the_vf_that_its_user_named(world: World) -> None:
    port = world.port(profile={"pci_slot": SLOT})
    world.run(port)
    read_too_early = world.request(port, "endpoint-2")
    world.end()

    lease = world.core.engine.lease(read_too_early)
    world.core.engine.attach("endpoint-2")
    world.core.engine.detach("endpoint-2")

    assert str(lease.device) == SLOT
    assert world.neutron.now(port.id).profile == {"pci_slot": SLOT}
    assert world.unclean() == []


def test_a_port_read_just_before_it_was_given_back_is_not_tied_to_the_vf_it_had(world: World) -> None:
    port = world.port()
    vf = world.run(port)
    read_too_early = world.request(port, "endpoint-2")
    world.end()
    world.kernel.add_address(world.kernel.vf(vf.address), "192.0.2.9/24")

    lease = world.core.engine.lease(read_too_early)
    world.core.engine.attach("endpoint-2")
    world.core.engine.detach("endpoint-2")

    assert lease.device != vf.address
    assert world.neutron.now(port.id).profile == {}


def test_a_port_that_a_lost_journal_left_bound_here_is_served_again_from_any_vf(world: World, tmp_path: Path) -> None:
    port = world.port()
    vf = world.run(port)
    world.kill()
    for file in tmp_path.glob("node.sqlite*"):
        file.unlink()
    world.kernel.container_dies(vf)
    world.kernel.add_address(world.kernel.vf(vf.address), "192.0.2.9/24")

    world.start()
    again = world.run(port, "endpoint-2")

    assert again.address != vf.address
    world.end("endpoint-2")
    assert world.neutron.now(port.id).profile == {}
