"""Ports that a controller has bound: the node makes them present, and leaves Neutron to the controller."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from attach_world import CONTAINER, DRIVERS, HOST, OWNER, SERVICE, VF_2, World, a_lease
from pydantic import TypeAdapter

from mooring.attach.drivers.registry import load_port_drivers
from mooring.attach.engine import Patience
from mooring.attach.gc import GarbageCollector
from mooring.attach.journal import Journal
from mooring.attach.types import Lease
from mooring.attach.verify import Verifier
from mooring.errors import BindingRefused, DeviceBusy, PortUnusable
from mooring.neutron.model import EgressLimits, Port
from mooring.pci.address import PciAddress

PF = PciAddress.parse("0000:02:00.0")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.containers = set()
    yield world
    world.kill()


def running(world: World, port: Port) -> Lease:
    world.run(port)
    lease = world.core.engine.find("endpoint-1")
    assert lease is not None
    return lease


@pytest.mark.parametrize("vnic_type", ["direct", "macvtap", "normal"])
def test_a_containers_life_asks_and_tells_neutron_nothing(world: World, vnic_type: str) -> None:
    port = world.bound_port(vnic_type=vnic_type)
    request = world.request(port)
    world.neutron.calls.clear()
    world.neutron.unreachable = True

    lease = world.core.engine.lease(request)
    world.move_in(lease, world.core.engine.attach("endpoint-1"))
    assert world.check() == ()
    world.end()

    assert lease.device == (None if vnic_type == "normal" else VF_2)
    assert world.neutron.calls == []
    world.neutron.unreachable = False
    world.core.round()
    assert world.neutron.now(port.id) == port
    assert world.unclean() == []


def test_the_vf_carries_what_the_port_was_bound_with(world: World) -> None:
    port = world.bound_port(port_security_enabled=False)

    lease = running(world, port)

    held = world.held(VF_2)
    assert (held.mac, held.vlan, held.spoof_check) == (port.mac, 150, False)
    assert lease.device_owner == SERVICE


def test_a_whole_card_is_lent_whose_mac_the_port_has_taken_over(world: World) -> None:
    port = world.bound_port(vnic_type="direct-physical", device=PF)

    assert running(world, port).device == PF

    world.end()
    world.core.round()
    assert world.unclean() == []


def test_a_whole_card_with_another_mac_than_the_ports_is_refused(world: World) -> None:
    port = world.bound_port(vnic_type="direct-physical", device=PF)
    world.neutron.server.tables["ports"][port.id]["mac_address"] = "fa:16:3e:00:00:99"

    with pytest.raises(BindingRefused, match="Neutron answered MAC address"):
        world.run(port)

    assert world.unclean() == []


def test_a_port_that_waits_for_active_elsewhere_waits_for_nothing_here(world: World) -> None:
    world.kill()
    world.start(Patience(active_timeout_s=60, active_required=True))
    port = world.bound_port()
    world.neutron.bus_unreachable = True

    world.run(port)


def test_the_device_is_reported_up_as_every_other(world: World) -> None:
    port = world.bound_port()
    running(world, port)

    world.core.round()

    assert world.neutron.now(port.id).status == "ACTIVE"


@pytest.mark.parametrize("is_restarted", [False, True], ids=["runs-on", "restarted"])
def test_its_end_is_reported_though_the_port_stays_bound_as_soon_as_neutron_listens(
    world: World, *, is_restarted: bool
) -> None:
    port = world.bound_port()
    running(world, port)
    world.core.round()
    world.neutron.bus_unreachable = True
    world.end()
    world.core.round()
    assert world.neutron.now(port.id).status == "ACTIVE"

    if is_restarted:
        world.kill()
        world.start()
    world.neutron.bus_unreachable = False
    world.core.round()

    now = world.neutron.now(port.id)
    assert (now.status, now.host, now.device_id) == ("DOWN", port.host, port.device_id)
    assert world.core.devices.journal.debts() == ()


def test_a_port_that_is_in_a_container_again_is_not_reported_down(world: World) -> None:
    port = world.bound_port()
    running(world, port)
    world.core.round()
    world.neutron.bus_unreachable = True
    world.end()
    running(world, port)

    world.neutron.bus_unreachable = False
    world.core.round()

    assert world.neutron.now(port.id).status == "ACTIVE"
    assert world.core.devices.journal.debts() == ()


def test_a_start_that_fails_leaves_owed_what_the_end_before_it_owes(world: World) -> None:
    port = world.bound_port()
    running(world, port)
    world.core.round()
    world.neutron.bus_unreachable = True
    world.end()
    world.core.engine.lease(world.request(port, "endpoint-2"))
    world.neutron.bus_unreachable = False
    world.core.round()
    assert [entry.debt.kind.value for entry in world.core.journal.debts()] == ["report-down"]

    world.core.engine.detach("endpoint-2")
    world.core.round()

    assert world.neutron.now(port.id).status == "DOWN"
    assert world.core.journal.debts() == ()


def test_a_port_that_is_bound_to_another_host_is_refused(world: World) -> None:
    port = world.bound_port()
    elsewhere = world.neutron.change_port(port.id, **{"binding:host_id": "host-b"})

    with pytest.raises(PortUnusable, match=f"it is bound to host host-b, not to {HOST}"):
        world.core.engine.lease(world.request(elsewhere))


def test_no_device_is_chosen_where_the_binding_names_none(world: World) -> None:
    port = world.bound_port(device=None)

    with pytest.raises(PortUnusable, match="bound without a pci_slot"):
        world.core.engine.lease(world.request(port))

    assert world.unclean() == []


def test_a_device_that_another_container_has_is_refused(world: World) -> None:
    running(world, world.bound_port())

    with pytest.raises(DeviceBusy, match=f"{VF_2} is in use by attachment endpoint-1"):
        world.core.engine.lease(world.request(world.bound_port(), "endpoint-2"))


@pytest.mark.parametrize(
    "flaw", [{"binding:vif_type": "binding_failed"}, {"binding:vif_details": {"vlan": "7"}}], ids=["failed", "vlan"]
)
def test_a_binding_that_does_not_fit_the_device_is_refused_and_left_to_the_controller(
    world: World, flaw: dict[str, object]
) -> None:
    port = world.bound_port()
    world.neutron.server.tables["ports"][port.id] |= flaw
    before = world.neutron.now(port.id)

    with pytest.raises(BindingRefused):
        world.run(port)

    assert world.neutron.now(port.id) == before
    assert world.unclean() == []


def test_limits_that_came_with_the_port_hold_from_the_start_and_others_soon(world: World) -> None:
    policy = world.neutron.add_qos_policy(max_kbps=20_000)
    port = world.bound_port(qos_policy_id=policy)
    known = EgressLimits(max_kbps=10_000)
    world.run(port, limits=known)
    assert world.held(VF_2).max_tx_rate == 10

    world.core.round()

    assert world.held(VF_2).max_tx_rate == 20


def test_a_change_of_the_port_is_followed(world: World) -> None:
    port = world.bound_port()
    running(world, port)
    world.neutron.change_port(port.id, port_security_enabled=False)

    world.core.round()

    assert world.held(VF_2).spoof_check is False
    assert world.neutron.now(port.id).device_id == CONTAINER


def test_a_binding_that_fails_later_is_left_to_the_controller(world: World) -> None:
    port = world.bound_port()
    running(world, port)
    world.neutron.server.tables["ports"][port.id] |= {"binding:vif_type": "binding_failed"}
    world.neutron.calls.clear()

    world.later()

    assert not {"bind_port", "unbind_port", "update_port"} & set(world.neutron.calls)
    assert world.core.engine.find("endpoint-1") is not None


@pytest.mark.parametrize(
    "change",
    [
        {"binding:host_id": "host-b"},
        {"device_id": "another"},
        {"binding:host_id": "", "device_id": "", "device_owner": "", "binding:profile": {}},
    ],
    ids=["elsewhere", "another's", "unbound"],
)
def test_the_attachment_of_a_port_that_was_taken_away_is_ended(world: World, change: dict[str, object]) -> None:
    port = world.bound_port()
    running(world, port)
    taken = world.neutron.change_port(port.id, **change)

    world.later()

    assert world.core.engine.find("endpoint-1") is None
    now = world.neutron.now(port.id)
    assert (now.host, now.device_id, now.profile) == (taken.host, taken.device_id, taken.profile)
    world.neutron.drop_port(port.id)
    assert world.unclean() == []


def test_the_attachment_of_a_deleted_port_is_ended(world: World) -> None:
    port = world.bound_port()
    running(world, port)
    world.neutron.drop_port(port.id)

    world.later(120)
    world.later()

    assert world.core.engine.find("endpoint-1") is None
    assert world.unclean() == []


def test_after_a_reboot_the_port_stays_as_the_controller_bound_it_and_can_be_had_again(world: World) -> None:
    port = world.bound_port()
    running(world, port)
    world.kill()
    world.kernel.reboot()
    assert world.containers is not None
    world.containers.clear()
    world.start()
    assert world.core.journal.leases() == ()
    assert world.neutron.now(port.id).host == HOST

    world.run(port, "endpoint-2")

    assert world.check("endpoint-2") == ()


def test_verifying_finds_nothing_wrong_with_it(world: World) -> None:
    running(world, world.bound_port())
    world.core.round()
    devices = world.core.devices
    verifier = Verifier(
        devices=devices,
        drivers=load_port_drivers(DRIVERS, devices),
        ports=world.neutron,
        host=HOST,
        owners=[OWNER],
    )

    comparison = verifier.verify()

    assert (comparison.discrepancies, comparison.unseen) == ((), ())


def test_garbage_collection_ends_what_no_container_has_and_leaves_the_port(world: World) -> None:
    port = world.bound_port()
    lease = running(world, port)
    world.die(lease)
    idle = world.bound_port(vnic_type="normal")
    collector = GarbageCollector(
        devices=world.core.devices,
        engine=world.core.engine,
        settlement=world.core.settlement,
        ports=world.neutron,
        containers=world,
        owners=[OWNER],
        pause=lambda _: None,
    )

    deeds = collector.collect(dry_run=False)

    assert [(deed.kind.value, deed.failure) for deed in deeds] == [("end attachment", ""), ("pay debt", "")]
    assert (world.neutron.now(port.id).host, world.neutron.now(idle.id).host) == (HOST, HOST)
    assert world.unclean() == []


def test_a_journal_of_the_second_form_has_no_ports_that_others_bound(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite"
    journal = Journal(path)
    journal.add(a_lease())
    journal.close()
    with closing(sqlite3.connect(path)) as db, db:
        body = json.loads(TypeAdapter(Lease).dump_json(a_lease()))
        del body["is_bound"]
        db.execute("UPDATE lease SET body = ?", (json.dumps(body),))
        db.execute("DROP TABLE assignment")
        db.execute("ALTER TABLE quarantine DROP COLUMN remains")
        db.execute("ALTER TABLE quarantine DROP COLUMN boot_id")
        db.execute("ALTER TABLE quarantine DROP COLUMN marks")
        db.execute("PRAGMA user_version=2")

    journal = Journal(path)

    assert journal.leases() == (a_lease(),)
    journal.close()
    with closing(sqlite3.connect(path)) as db:
        ((written,),) = db.execute("SELECT body FROM lease").fetchall()
    assert json.loads(written)["is_bound"] is False
