"""mooring verify's comparison: what it finds, what it leaves alone, and that it changes nothing."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from attach_world import DRIVERS, HOST, OWNER, World

from mooring.attach.drivers.registry import load_port_drivers
from mooring.attach.types import LeaseStep
from mooring.attach.verify import Comparison, Verifier
from mooring.errors import InvalidRequest, KernelRefused
from mooring.pci.address import PciAddress
from mooring.pci.device import PhysicalFunction

FREE = "0000:02:10.4"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.kill()


def verifier(world: World) -> Verifier:
    devices = world.core.devices
    return Verifier(
        devices=devices,
        drivers=load_port_drivers(DRIVERS, devices),
        ports=world.neutron,
        host=HOST,
        owners=[OWNER],
    )


def told(comparison: Comparison) -> list[str]:
    return [f"{d.subject}: {d.difference}" for d in comparison.discrepancies]


def test_a_host_in_order_has_no_differences_and_says_how_much_was_compared(world: World) -> None:
    world.run(world.port())
    world.run(world.port(), "endpoint-2")
    world.core.round()

    comparison = verifier(world).verify()

    assert told(comparison) == []
    assert comparison.unseen == ()
    assert (comparison.leases, comparison.vfs, comparison.ports) == (2, 8, 2)


@pytest.mark.parametrize("vnic_type", ["direct", "macvtap", "direct-physical", "normal"])
def test_a_port_of_every_kind_that_is_in_order_has_no_differences(world: World, vnic_type: str) -> None:
    port = world.port(vnic_type=vnic_type)
    world.run(port)
    world.core.round()
    if vnic_type == "normal":
        world.neutron.wire(HOST, port.id)

    comparison = verifier(world).verify()

    assert (told(comparison), comparison.unseen, comparison.leases) == ([], (), 1)


def test_a_vf_for_a_program_that_is_in_order_has_no_differences(world: World) -> None:
    world.run(world.port(), vf_driver="vfio-pci")
    world.core.round()

    assert told(verifier(world).verify()) == []


def test_an_open_vswitch_that_is_away_is_not_looked_at(world: World) -> None:
    port = world.port(vnic_type="normal")
    world.run(port)
    world.neutron.wire(HOST, port.id)
    world.switch.away = True

    comparison = verifier(world).verify()

    assert [unseen.subject for unseen in comparison.unseen] == [f"port {port.id}"]


def test_a_macvtap_whose_vf_has_another_mtu_is_told(world: World) -> None:
    vf = world.run(world.port(vnic_type="macvtap"))
    world.core.round()
    world.kernel.set_mtu(vf, 1400)

    assert told(verifier(world).verify()) == [f"{vf.address}: MTU is 1400, wanted 1500"]


def test_nothing_is_changed_by_looking(world: World) -> None:
    vf = world.run(world.port())
    world.core.round()
    world.kernel.write_settings(vf, replace(world.held(vf.address), vlan=77))
    before, leases = world.kernel.state(), world.core.journal.leases()
    world.neutron.calls.clear()

    verifier(world).verify()

    assert world.kernel.state() == before
    assert world.core.journal.leases() == leases
    assert world.neutron.calls == ["list_ports"]


def test_every_setting_that_the_pf_holds_otherwise_is_told_with_what_was_wanted(world: World) -> None:
    vf = world.run(world.port())
    world.core.round()
    world.kernel.write_settings(vf, replace(world.held(vf.address), vlan=77, spoof_check=False, max_tx_rate=10))

    assert told(verifier(world).verify()) == [
        f"{vf.address}: vlan is 77, wanted 150",
        f"{vf.address}: spoof_check is False, wanted True",
        f"{vf.address}: max_tx_rate is 10, wanted 0",
    ]


def test_a_device_that_is_not_with_its_container_is_told(world: World) -> None:
    home, gone, taken = (world.run(world.port(), f"endpoint-{n}") for n in range(3))
    world.core.round()
    world.kernel.container_dies(home)
    world.kernel.unplug(gone)
    world.kernel.bind_driver(taken, "vfio-pci")

    said = {line for line in told(verifier(world).verify()) if "whereabouts" in line}

    assert {line.partition(" (")[0] for line in said} == {
        f"{home.address}: whereabouts is home",
        f"{gone.address}: whereabouts is gone",
        f"{taken.address}: whereabouts is taken",
    }
    assert any("driver vfio-pci" in line for line in said)
    assert any("it has left the host" in line for line in said)


def test_a_card_without_link_and_one_with_a_smaller_mtu_are_told(world: World) -> None:
    vf = world.run(world.port())
    world.core.round()
    pf = world.kernel.find(vf.parent)
    assert isinstance(pf, PhysicalFunction)
    world.kernel.set_pf_up(pf, up=False)
    world.kernel.change_pf(pf, mtu=1400)

    assert told(verifier(world).verify()) == [
        f"{vf.address}: link of its card is down, wanted up",
        f"{vf.address}: MTU of its PF is 1400, wanted at least 1500",
        f"{pf.address}: interface enp2s0 is down, wanted up",
    ]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"binding:host_id": "host-b"}, "host is host-b, wanted host-a"),
        ({"device_id": "vm"}, "device_id is vm, wanted endpoint-1"),
        ({"device_owner": "compute:nova"}, "device_owner is compute:nova, wanted compute:kuryr"),
        ({"port_security_enabled": False}, "spoof_check is False, wanted True"),
        ({"admin_state_up": False}, "link_state is disable, wanted auto"),
        ({"propagate_uplink_status": False}, "link_state is enable, wanted auto"),
        ({"status": "DOWN"}, "status is DOWN, wanted ACTIVE"),
        ({"mac_address": "fa:16:3e:aa:aa:aa"}, "mac_address is fa:16:3e:aa:aa:aa, wanted "),
        ({"binding:vif_details": {"vlan": "77"}}, "binding is none for its device ("),
    ],
)
def test_every_attribute_that_neutron_has_otherwise_is_told(
    world: World, change: dict[str, object], found: str
) -> None:
    port = world.port()
    world.run(port)
    world.core.round()
    world.neutron.server.tables["ports"][port.id].update(change)

    assert any(line.startswith(f"port {port.id}: {found}") for line in told(verifier(world).verify()))


def test_a_port_that_has_become_trusted_is_told_where_the_device_spec_allows_it(world: World) -> None:
    network = world.neutron.add_network("net1", physical_network="physnet1", vlan=100)
    world.neutron.add_subnet(network)
    trusting, other = world.neutron.add_port(network), world.port()
    world.run(trusting)
    world.run(other, "endpoint-2")
    world.core.round()
    for port in (trusting, other):
        world.neutron.server.tables["ports"][port.id]["trusted"] = True

    assert told(verifier(world).verify()) == [f"port {trusting.id}: trust is True, wanted False"]


def test_a_pci_slot_that_somebody_rewrote_is_told(world: World) -> None:
    port = world.port()
    vf = world.run(port)
    world.core.round()
    world.neutron.server.tables["ports"][port.id]["binding:profile"]["pci_slot"] = FREE

    assert told(verifier(world).verify()) == [
        f"port {port.id}: binding:profile pci_slot is {FREE}, wanted {vf.address}"
    ]


def test_limits_that_changed_in_a_policy_are_told(world: World) -> None:
    policy = world.neutron.add_qos_policy(max_kbps=5000)
    port = world.port(qos_policy_id=policy)
    world.run(port)
    world.core.round()
    world.neutron.change_rule(policy, max_kbps=9000)

    assert told(verifier(world).verify()) == [f"port {port.id}: max_tx_rate is 9, wanted 5"]


def test_a_port_that_was_deleted_is_told(world: World) -> None:
    port = world.port()
    vf = world.run(port)
    world.core.round()
    world.neutron.drop_port(port.id)

    assert told(verifier(world).verify()) == [f"port {port.id}: port is not in Neutron, wanted bound to {vf.address}"]


def test_free_vfs_that_cannot_be_handed_out_are_told(world: World) -> None:
    dirty, taken, kept = (PciAddress.parse(f"0000:02:10.{n}") for n in (0, 2, 4))
    world.kernel.write_settings(world.kernel.vf(dirty), replace(world.held(dirty), vlan=77))
    world.kernel.add_address(world.kernel.vf(taken), "192.0.2.9/24")
    world.core.journal.quarantine(kept, "it kept its VLAN")

    lines = told(verifier(world).verify())

    assert [line.partition(" is ")[2].partition(":")[0] for line in lines] == ["dirty", "taken", "quarantined"]
    assert "192.0.2.9" in lines[1]
    assert "it kept its VLAN" in lines[2]


def test_a_port_that_is_bound_here_without_a_lease_is_told_and_a_foreign_one_is_not(world: World) -> None:
    ours, foreign = world.port(), world.port()
    for port, owner in ((ours, OWNER), (foreign, "compute:nova")):
        change = {"binding:host_id": HOST, "device_owner": owner, "device_id": "endpoint-9"}
        world.neutron.change_port(port.id, **change)

    assert told(verifier(world).verify()) == [
        f"port {ours.id}: binding is to attachment endpoint-9, which has no lease, wanted none"
    ]


def test_what_neutron_is_owed_is_told_with_the_reason(world: World) -> None:
    port = world.port()
    world.run(port)
    world.neutron.unreachable = True
    world.core.engine.detach("endpoint-1")
    world.neutron.unreachable = False

    (line,) = told(verifier(world).verify())

    assert line.startswith(f"port {port.id}: unbind in Neutron is not yet (")


def test_a_lease_that_is_not_ready_shows_its_step(world: World) -> None:
    lease = world.core.engine.lease(world.request(world.port()))

    assert told(verifier(world).verify()) == [f"{lease.device}: step is leased, wanted ready"]


def test_what_begins_or_ends_while_it_is_looked_at_is_not_judged(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run(world.port())
    world.run(world.port(), "endpoint-2")
    world.core.round()
    ports = world.neutron.ports

    def meanwhile(**filters: str) -> object:
        world.core.engine.detach("endpoint-2")
        world.run(world.port(), "endpoint-3")
        return ports(**filters)  # type: ignore[arg-type]

    monkeypatch.setattr(world.neutron, "ports", meanwhile)

    comparison = verifier(world).verify()

    assert told(comparison) == []
    assert comparison.leases == 1


def test_neutron_away_is_no_difference_but_not_looked_at(world: World) -> None:
    world.run(world.port())
    world.neutron.unreachable = True

    comparison = verifier(world).verify()

    assert told(comparison) == []
    assert [unseen.subject for unseen in comparison.unseen] == ["Neutron"]


def test_a_card_that_cannot_be_read_is_not_looked_at_and_the_others_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    vf = world.run(world.port())
    world.core.round()
    read_settings = world.kernel.read_settings

    def sick(pf: PhysicalFunction) -> object:
        if pf.netdev == "enp2s0":
            raise KernelRefused("reading the VFs", pf.address, errno.EIO)
        return read_settings(pf)

    monkeypatch.setattr(world.kernel, "read_settings", sick)
    stray = world.kernel.vf(PciAddress.parse("0000:01:10.0"))
    world.kernel.write_settings(stray, replace(world.held(stray.address), vlan=77))

    comparison = verifier(world).verify()

    assert {unseen.subject for unseen in comparison.unseen} == {str(vf.address), "0000:02:00.0"}
    assert [d.subject for d in comparison.discrepancies] == [str(stray.address)]


def test_a_setting_that_the_device_cannot_hold_is_told(world: World) -> None:
    port = world.port()
    vf = world.run(port)
    world.core.round()
    lease = world.core.engine.find("endpoint-1")
    assert lease is not None
    world.core.journal.save(replace(lease, missing=frozenset({"link_state"})))

    assert told(verifier(world).verify()) == [
        f"{vf.address}: link_state is not set, for its driver cannot, wanted auto"
    ]


def test_ports_and_attachments_can_be_compared_alone(world: World) -> None:
    port = world.port()
    vf = world.run(port, "endpoint-1")
    other = world.run(world.port(), "second-2")
    world.core.round()
    for each in (vf, other):
        world.kernel.write_settings(each, replace(world.held(each.address), vlan=77))

    assert told(verifier(world).verify_only([port.id])) == [f"{vf.address}: vlan is 77, wanted 150"]
    assert told(verifier(world).verify_only(["second"])) == [f"{other.address}: vlan is 77, wanted 150"]
    assert verifier(world).verify_only([port.id, "endpoint-1", "second-2"]).leases == 2
    with pytest.raises(InvalidRequest, match="'nobody'; 'mooring leases' lists them"):
        verifier(world).verify_only(["nobody"])


def test_a_lease_cut_off_at_its_release_is_told_although_the_device_is_clean(world: World) -> None:
    world.run(world.port())
    world.core.round()
    lease = world.core.engine.find("endpoint-1")
    assert lease is not None
    world.core.journal.save(replace(lease, step=LeaseStep.RELEASING))

    assert "step is releasing, wanted ready" in told(verifier(world).verify())[0]
