"""The core's verbs on stateful fakes: what a container's user and the host's operator would notice."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import attach_world
import pytest
from attach_world import HOST, World

from mooring.attach.engine import Patience
from mooring.errors import (
    BindingRefused,
    DeviceBusy,
    DeviceUnusable,
    InvalidRequest,
    MooringError,
    NetworkUnusable,
    NoFreeDevice,
    PortBusy,
    PortUnusable,
    UnsupportedVnicType,
)
from mooring.pci.address import PciAddress

SLOT = "0000:02:10.2"
PF = PciAddress.parse("0000:02:00.0")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.kill()


def test_a_container_gets_a_vf_on_the_ports_network_with_its_mac_and_vlan(world: World) -> None:
    port = world.port()

    vf = world.run(port)

    held = world.held(vf.address)
    assert (held.mac, held.vlan, held.spoof_check, held.trust) == (port.mac, 150, True, False)
    assert vf.parent == PciAddress.parse("0000:02:00.0")
    assert vf.elsewhere


def test_the_interface_is_handed_over_down_with_the_networks_mtu_and_no_name_of_a_containers(world: World) -> None:
    network = world.neutron.add_network("small", physical_network="physnet1", vlan=7, mtu=1400)
    port = world.neutron.add_port(network)
    world.core.engine.lease(world.request(port))

    attachment = world.core.engine.attach("endpoint-1")

    netdev = world.kernel.netdev(world.kernel.vf(attachment.device))
    assert netdev is not None
    assert (netdev.name, netdev.mac, netdev.mtu, netdev.up) == ("vf000001100", port.mac, 1400, False)
    assert attachment.interface == netdev.name


def test_the_port_is_bound_to_the_vf_and_becomes_active(world: World) -> None:
    port = world.port()

    vf = world.run(port)
    world.core.settlement.settle()

    bound = world.neutron.now(port.id)
    assert (bound.host, bound.device_id, bound.device_owner) == (HOST, "endpoint-1", "compute:kuryr")
    assert bound.profile == {
        "pci_slot": str(vf.address),
        "pci_vendor_info": "8086:10ca",
        "physical_network": "physnet2",
    }
    assert bound.status == "ACTIVE"


def test_leasing_asks_neutron_nothing_and_the_whole_life_costs_two_calls_and_one(world: World) -> None:
    request = world.request(world.port())
    world.neutron.calls.clear()

    world.core.engine.lease(request)
    assert world.neutron.calls == []

    world.core.engine.attach("endpoint-1")
    world.core.settlement.settle()
    assert len(world.neutron.calls) == 2

    world.core.engine.detach("endpoint-1")
    assert len(world.neutron.calls) == 3


def test_after_removal_the_host_and_the_port_are_as_they_were(world: World) -> None:
    port = world.port()
    before = world.neutron.now(port.id)
    world.run(port)
    world.core.settlement.settle()

    world.end()

    after = world.neutron.now(port.id)
    assert world.unclean() == []
    assert replace(after, revision=0) == replace(before, revision=0)


def test_a_port_that_names_its_vf_gets_that_one_and_still_names_it_afterwards(world: World) -> None:
    profile = {"pci_slot": SLOT, "pci_vendor_info": "8086:10ca", "physical_network": "physnet2"}
    port = world.port(profile=profile)

    for attachment in ("endpoint-1", "endpoint-2"):
        vf = world.run(port, attachment)
        assert str(vf.address) == SLOT
        world.end(attachment)

    assert world.neutron.now(port.id).profile == profile
    assert world.unclean() == []


@pytest.mark.parametrize(
    ("profile", "error", "sentence"),
    [
        ({"pci_slot": "02:10.2"}, PortUnusable, "'02:10.2' is not a PCI address"),
        ({"pci_slot": "../../../etc/passwd"}, PortUnusable, "is not a PCI address"),
        ({"pci_slot": "0000:02:10.2\n"}, PortUnusable, "is not a PCI address"),
        ({"pci_slot": 7}, PortUnusable, "pci_slot must be text, not 7"),
        ({"pci_slot": "0000:7f:00.0"}, DeviceUnusable, "no such device on this host"),
        ({"pci_slot": "0000:02:00.0"}, DeviceUnusable, "physical function"),
        ({"pci_slot": "0000:01:10.0"}, DeviceUnusable, "on physnet1, but the port's network is on physnet2"),
        ({"pci_slot": SLOT, "pci_vendor_info": "1137:0047"}, DeviceUnusable, "asks for pci_vendor_info 1137:0047"),
        ({"pci_vendor_info": "1137:0047"}, DeviceUnusable, "asks for pci_vendor_info 1137:0047"),
        ({"physical_network": "physnet1"}, PortUnusable, "asks for physnet1, but Neutron puts it on physnet2"),
    ],
)
def test_a_profile_that_cannot_be_meant_is_refused(
    world: World, profile: dict[str, object], error: type[MooringError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        world.core.engine.lease(world.request(world.port(profile=profile)))

    assert world.unclean() == []


def test_a_named_vf_that_is_in_use_is_refused_with_its_holder(world: World) -> None:
    world.run(world.port(profile={"pci_slot": SLOT}))

    with pytest.raises(DeviceBusy, match="in use by attachment endpoint-1"):
        world.core.engine.lease(world.request(world.port(profile={"pci_slot": SLOT}), "endpoint-2"))


def test_a_port_has_one_container_at_a_time(world: World) -> None:
    port = world.port()
    world.run(port)

    with pytest.raises(PortBusy, match="attachment endpoint-1 on this host"):
        world.core.engine.lease(world.request(port, "endpoint-2"))


def test_many_containers_that_race_for_few_vfs_never_share_one(world: World) -> None:
    ports = [world.port() for _ in range(8)]

    def start(number: int) -> str | None:
        try:
            return str(world.core.engine.lease(world.request(ports[number], f"endpoint-{number}")).device)
        except NoFreeDevice:
            return None

    with ThreadPoolExecutor(8) as pool:
        given = [device for device in pool.map(start, range(8)) if device is not None]

    assert len(given) == 3
    assert len(set(given)) == 3


def test_containers_that_race_for_one_port_give_it_to_one(world: World) -> None:
    port = world.port()

    def start(number: int) -> bool:
        try:
            world.core.engine.lease(world.request(port, f"endpoint-{number}"))
        except PortBusy:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(start, range(8))) == 1


def test_when_all_vfs_are_taken_the_user_is_told_of_how_many(world: World) -> None:
    for number in range(3):
        world.run(world.port(), f"endpoint-{number}")

    with pytest.raises(NoFreeDevice, match=r"no free VF on physnet2: 0 of 3 VFs free \(3 leased\)"):
        world.core.engine.lease(world.request(world.port(), "endpoint-9"))


@pytest.mark.parametrize("vnic_type", ["vdpa", "virtio-forwarder", "baremetal"])
def test_kinds_of_ports_that_no_driver_serves_are_refused_by_name(world: World, vnic_type: str) -> None:
    with pytest.raises(UnsupportedVnicType, match=f"vnic_type {vnic_type}, which cannot be served here"):
        world.core.engine.lease(world.request(world.port(vnic_type=vnic_type)))


def test_a_network_without_a_physical_network_is_refused(world: World) -> None:
    tunnel = world.neutron.add_network("tunnel", physical_network=None, vlan=4)

    with pytest.raises(NetworkUnusable, match="it has no physical_network"):
        world.core.engine.lease(world.request(world.neutron.add_port(tunnel)))


def test_a_network_with_larger_packets_than_the_pf_takes_is_refused(world: World) -> None:
    jumbo = world.neutron.add_network("jumbo", physical_network="physnet1", vlan=9, mtu=9000)

    with pytest.raises(DeviceUnusable, match="PF enp1s0 has MTU 1500, but the network has 9000"):
        world.core.engine.lease(world.request(world.neutron.add_port(jumbo)))


def test_a_binding_that_failed_is_undone_and_says_what_to_look_at(world: World) -> None:
    world.neutron.kill_agent(HOST)
    port = world.port()
    world.core.engine.lease(world.request(port))

    with pytest.raises(BindingRefused, match=r"could not be bound on host host-a.*NIC Switch agent"):
        world.core.engine.attach("endpoint-1")

    assert world.core.engine.find("endpoint-1") is None
    assert world.unclean() == []


def test_a_port_that_changed_since_it_was_chosen_is_left_alone(world: World) -> None:
    port = world.port()
    world.core.engine.lease(world.request(port))
    stolen = world.neutron.change_port(port.id, **{"binding:host_id": "host-b", "device_id": "a machine"})

    with pytest.raises(PortBusy):
        world.core.engine.attach("endpoint-1")

    assert world.neutron.now(port.id) == stolen
    assert world.core.journal.leases() == ()


def test_a_setting_that_the_card_does_not_know_is_noted_not_refused(world: World) -> None:
    world.kernel._pfs[PF].unsupported |= {"spoof_check"}
    port = world.port(port_security_enabled=False)

    world.run(port)

    lease = world.core.engine.find("endpoint-1")
    assert lease is not None
    assert lease.missing == {"spoof_check"}
    assert world.check() == ()


def test_a_card_that_cannot_set_a_vlan_serves_no_port_and_nothing_is_left_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = world.port()
    world.core.engine.lease(world.request(port))
    write_settings = world.kernel.write_settings
    monkeypatch.setattr(
        world.kernel,
        "write_settings",
        lambda vf, wanted: write_settings(vf, replace(wanted, vlan=0)) | ({"vlan"} if wanted.vlan else set()),
    )

    with pytest.raises(DeviceUnusable, match="its driver igbvf cannot set the VF's vlan"):
        world.core.engine.attach("endpoint-1")

    assert world.unclean() == []


def test_a_trusted_port_needs_a_vf_that_the_device_spec_calls_trusted(world: World) -> None:
    with pytest.raises(DeviceUnusable, match='the device spec does not say "trusted"'):
        world.core.engine.lease(world.request(world.port(trusted=True)))

    other = world.neutron.add_network("trusting", physical_network="physnet1", vlan=8)
    vf = world.run(world.neutron.add_port(other, trusted=True), "endpoint-2")

    assert world.held(vf.address).trust is True
    world.end("endpoint-2")
    assert world.held(vf.address).trust is False
    assert world.unclean() == []


def test_a_port_that_is_trusted_later_has_its_vf_trusted_only_where_the_device_spec_allows_it(world: World) -> None:
    trusting = world.neutron.add_network("trusting", physical_network="physnet1", vlan=8)
    ports = [world.port(), world.neutron.add_port(trusting)]
    vfs = [world.run(port, f"endpoint-{number}") for number, port in enumerate(ports)]

    for port in ports:
        world.neutron.change_port(port.id, trusted=True)
    world.core.round()

    assert [world.held(vf.address).trust for vf in vfs] == [False, True]


def test_a_port_that_changes_before_its_device_is_reported_up_is_followed(world: World) -> None:
    port = world.port()
    vf = world.run(port)

    world.neutron.change_port(port.id, port_security_enabled=False)
    world.core.round()

    assert world.held(vf.address).spoof_check is False


def test_a_port_without_port_security_turns_spoof_checking_off_and_removal_turns_it_on(world: World) -> None:
    port = world.port(port_security_enabled=False)

    vf = world.run(port)
    assert world.held(vf.address).spoof_check is False

    world.end()
    assert world.held(vf.address).spoof_check is True


def test_every_verb_may_come_twice(world: World) -> None:
    request = world.request(world.port())

    assert world.core.engine.lease(request) == world.core.engine.lease(request)
    assert world.core.engine.attach("endpoint-1") == world.core.engine.attach("endpoint-1")
    world.core.engine.detach("endpoint-1")
    world.core.engine.detach("endpoint-1")

    assert world.unclean() == []


def test_verbs_for_unknown_attachments_do_no_harm(world: World) -> None:
    world.core.engine.detach("never seen")

    with pytest.raises(InvalidRequest, match="create the endpoint before joining it"):
        world.core.engine.attach("never seen")


def test_an_attachment_keeps_its_port(world: World) -> None:
    world.core.engine.lease(world.request(world.port()))

    with pytest.raises(InvalidRequest, match="already holds port"):
        world.core.engine.lease(world.request(world.port()))


def test_a_created_port_takes_its_kind_at_binding_and_goes_with_its_attachment(world: World) -> None:
    port = world.port(vnic_type="normal")

    world.run(port, created=True, vnic_type="direct")
    assert world.neutron.now(port.id).vnic_type == "direct"

    world.end()
    assert port.id not in world.neutron.server.tables["ports"]
    assert world.unclean() == []


def test_a_port_that_is_administratively_down_is_refused_where_the_card_cannot_silence_a_vf(world: World) -> None:
    world.core.engine.lease(world.request(world.port(admin_state_up=False)))

    with pytest.raises(DeviceUnusable, match="cannot set the VF's link_state, which the port needs"):
        world.core.engine.attach("endpoint-1")

    assert world.unclean() == []


def test_a_check_names_each_setting_that_was_changed_behind_our_back(world: World) -> None:
    vf = world.run(world.port())
    assert world.check() == ()

    world.kernel.write_settings(vf, replace(world.held(vf.address), vlan=77))

    assert world.check() == ("vlan is 77, wanted 150",)


def test_a_lease_of_a_driver_that_is_not_enabled_any_more_is_served_to_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(world.port(vnic_type="macvtap"))
    world.kill()

    monkeypatch.setattr(attach_world, "DRIVERS", ("sriov",))
    world.start()
    with pytest.raises(UnsupportedVnicType):
        world.core.engine.lease(world.request(world.port(vnic_type="macvtap"), "endpoint-2"))
    world.end()

    assert world.unclean() == []


def test_a_start_that_must_be_active_waits_for_neutrons_word(world: World) -> None:
    world.kill()
    core = world.start(Patience(active_timeout_s=10, active_required=True))
    core.engine.lease(world.request(world.port()))
    core.settlement.wait(0)  # whatever the start asked for is done

    with ThreadPoolExecutor(1) as pool:
        joining = pool.submit(core.engine.attach, "endpoint-1")
        core.settlement.wait(10)
        core.settlement.settle()
        joining.result()

    lease = core.engine.find("endpoint-1")
    assert lease is not None
    assert lease.port.status == "ACTIVE"


def test_a_start_that_must_be_active_and_is_not_fails_and_leaves_nothing(world: World) -> None:
    world.kill()
    core = world.start(Patience(active_timeout_s=0.01, active_required=True))
    core.engine.lease(world.request(world.port()))

    with pytest.raises(BindingRefused, match="did not become ACTIVE"):
        core.engine.attach("endpoint-1")

    assert world.unclean() == []
