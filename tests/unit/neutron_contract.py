"""What Neutron does for mooring, the one in memory and the real one alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_network
from queue import SimpleQueue
from typing import Protocol

import pytest

from mooring.errors import NetworkUnusable, NeutronConflict, NeutronRefused, PortBusy, PortNotFound
from mooring.neutron.api import AGENT_TYPE, REPORTED_BY, Binding, Neutron, NeutronBus, NewPort, PortNews
from mooring.neutron.model import (
    BINDING_FAILED,
    UNBOUND,
    EgressLimits,
    IpAddress,
    IpNetwork,
    Network,
    Port,
    SecurityGroup,
    Segment,
    Subnet,
)

UNKNOWN = "00000000-0000-4000-8000-000000000000"
OWN_PROFILE = {"pci_slot": "0000:01:10.2", "pci_vendor_info": "8086:10ca", "physical_network": "physnet2"}


class World(Protocol):
    """A Neutron, a bus, and the hands of the people around it. Hosts, names and networks are each test's own."""

    neutron: Neutron
    bus: NeutronBus

    def name(self) -> str: ...
    def cidr(self) -> str: ...
    def calls(self) -> list[str]: ...
    def add_network(self, segments: tuple[tuple[str, bool], ...] = (("physnet2", True),)) -> Network: ...
    def add_subnet(self, network: Network, cidr: str) -> Subnet: ...
    def add_port(self, network: Network, profile: Mapping[str, object], **attributes: object) -> Port: ...
    def change_port(self, port: Port, **attributes: object) -> None: ...
    def change_network(self, network_id: str, **attributes: object) -> None: ...
    def add_ovs_agent(self, host: str, *, hybrid: bool = False) -> None: ...
    def add_security_group(self) -> SecurityGroup: ...
    def add_qos_policy(self, *, max_kbps: int = 0, min_kbps: int = 0, ingress_kbps: int = 0) -> str: ...
    def change_rule(self, policy_id: str, *, max_kbps: int) -> None: ...
    def listen(self) -> SimpleQueue[PortNews]: ...


def cost_of(world: World, work: Callable[[], object]) -> list[str]:
    before = len(world.calls())
    work()
    return world.calls()[before:]


def alive_host(world: World, *physical_networks: str) -> str:
    host = world.name()
    world.bus.report_agent(host, dict.fromkeys(physical_networks or ("physnet2",), ("ens5",)), started=True)
    return host


def a_port(world: World, profile: Mapping[str, object] | None = None, **attributes: object) -> Port:
    network = world.add_network()
    world.add_subnet(network, world.cidr())
    port = world.add_port(network, profile or {}, **attributes)
    return world.neutron.port(port.id)


def create_subnet(
    world: World,
    network: Network,
    cidr: IpNetwork,
    *,
    gateway: IpAddress | None = None,
    subnetpool_id: str | None = None,
) -> Subnet:
    return world.neutron.create_subnet(
        network_id=network.id,
        name="",
        cidr=cidr,
        gateway=gateway,
        subnetpool_id=subnetpool_id,
        enable_dhcp=True,
        tags=[],
    )


def binding_on(host: str, **changes: object) -> Binding:
    return replace(
        Binding(host=host, device_id="endpoint-1", device_owner="compute:kuryr", profile=OWN_PROFILE), **changes
    )


def bound_port(world: World, profile: Mapping[str, object] | None = None, **attributes: object) -> Port:
    return world.neutron.bind(a_port(world, profile, **attributes), binding_on(alive_host(world)))


def reserve(world: World, port: Port) -> Port:
    return world.neutron.reserve(port, device_id="container-1", device_owner="compute:mooring")


def next_about(news: SimpleQueue[PortNews], *subject_ids: str) -> PortNews:
    """Return the next piece of news about one of these ports and networks; what other tests do is passed over."""
    while True:
        item = news.get(timeout=20)
        if {item.port_id, item.network_id} & set(subject_ids):
            return item


class PortContract:
    """Inherit and give a ``world`` fixture."""

    def test_a_port_that_does_not_exist_is_named_in_the_refusal(self, world: World) -> None:
        with pytest.raises(PortNotFound, match=UNKNOWN):
            world.neutron.port(UNKNOWN)

    def test_a_port_is_read_with_all_that_an_attachment_needs(self, world: World) -> None:
        port = a_port(world, {"pci_slot": "0000:01:10.2"}, name="sriov_port")

        assert port.name == "sriov_port"
        assert (port.vnic_type, port.vif_type, port.vlan, port.status) == ("direct", UNBOUND, None, "DOWN")
        assert (port.host, port.device_id, port.device_owner) == ("", "", "")
        assert port.profile == {"pci_slot": "0000:01:10.2"}
        assert port.mac == port.mac.lower()
        assert port.admin_state_up
        assert port.port_security_enabled
        assert len(port.fixed_ips) == 1

    @pytest.mark.parametrize("choose", ["address", "mac", "device_id", "device_owner", "host", "name"])
    def test_ports_are_found_by_each_filter_alone(self, world: World, choose: str) -> None:
        port = bound_port(world, name=world.name())
        world.add_port(world.neutron.network(port.network_id), {})
        filters = {
            "address": {"address": port.fixed_ips[0].address, "network_id": port.network_id},
            "mac": {"mac": port.mac, "network_id": port.network_id},
            "device_id": {"device_id": "endpoint-1", "network_id": port.network_id},
            "device_owner": {"device_owner": "compute:kuryr", "network_id": port.network_id},
            "name": {"name": port.name, "project_id": port.project_id},
            "host": {"host": port.host},
        }

        assert [found.id for found in world.neutron.ports(**filters[choose])] == [port.id]

    def test_no_port_to_which_the_filters_apply_is_no_error(self, world: World) -> None:
        assert world.neutron.ports(device_id=world.name()) == ()

    def test_a_port_tells_whose_it_is(self, world: World) -> None:
        port = a_port(world)

        assert port.project_id
        assert world.neutron.ports(network_id=port.network_id, project_id=UNKNOWN) == ()

    def test_reserving_takes_one_call_and_writes_nothing_but_whose_device_the_port_is_to_be(self, world: World) -> None:
        port = a_port(world, {"pci_slot": "0000:01:10.7"})

        calls = cost_of(world, lambda: reserve(world, port))

        after = world.neutron.port(port.id)
        assert calls == ["reserve_port"]
        assert after == replace(port, device_id="container-1", device_owner="compute:mooring", revision=after.revision)

    def test_reserving_answers_with_the_port_as_it_then_is(self, world: World) -> None:
        reserved = reserve(world, a_port(world))

        assert world.neutron.port(reserved.id) == reserved

    def test_reserving_again_after_an_answer_that_was_lost_is_a_success(self, world: World) -> None:
        port = a_port(world)
        reserved = reserve(world, port)

        assert cost_of(world, lambda: reserve(world, port)) == ["reserve_port", "show_port"]
        assert cost_of(world, lambda: reserve(world, reserved)) == []
        assert world.neutron.port(port.id) == reserved

    def test_of_two_that_reserve_one_port_the_second_is_told_of_the_first(self, world: World) -> None:
        port = a_port(world)
        reserve(world, port)

        with pytest.raises(PortBusy, match="container-1"):
            world.neutron.reserve(port, device_id="container-2", device_owner="compute:mooring")

        assert world.neutron.port(port.id).device_id == "container-1"

    def test_a_bound_port_cannot_be_reserved_whether_that_was_seen_or_not(self, world: World) -> None:
        port = a_port(world)
        bound = world.neutron.bind(port, binding_on(alive_host(world)))

        for seen in (port, bound):
            with pytest.raises(PortBusy, match="endpoint-1"):
                reserve(world, seen)

    def test_a_port_that_only_got_another_name_is_reserved_all_the_same(self, world: World) -> None:
        port = a_port(world)
        world.change_port(port, name="renamed")

        assert cost_of(world, lambda: reserve(world, port)) == ["reserve_port", "show_port", "reserve_port"]
        assert world.neutron.port(port.id).device_id == "container-1"

    def test_reserving_a_port_that_is_gone_says_so(self, world: World) -> None:
        port = a_port(world)
        world.neutron.delete_port(port.id)

        with pytest.raises(PortNotFound):
            reserve(world, port)

    def test_a_reserved_port_binds_in_one_call_for_the_device_that_it_bears(self, world: World) -> None:
        port, host = reserve(world, a_port(world)), alive_host(world)
        binding = binding_on(host, device_id="container-1", device_owner="compute:mooring")

        assert cost_of(world, lambda: world.neutron.bind(port, binding)) == ["bind_port"]
        assert world.neutron.port(port.id).vif_type == "hw_veb"

    def test_a_binding_whose_answer_was_lost_is_found_done_when_it_is_asked_for_again(self, world: World) -> None:
        port, host = reserve(world, a_port(world)), alive_host(world)
        binding = binding_on(host, device_id="container-1")
        bound = world.neutron.bind(port, binding)
        world.bus.report_devices(host, up=[port.id])

        again = world.neutron.bind(port, binding)

        assert (again.vif_type, again.vlan, again.host) == (bound.vif_type, bound.vlan, host)
        assert world.neutron.port(port.id).status == "ACTIVE"

    def test_a_port_moves_to_another_host_with_the_device_that_it_bears(self, world: World) -> None:
        port, hosts = reserve(world, a_port(world)), [alive_host(world), alive_host(world)]
        moved = {**OWN_PROFILE, "pci_slot": "0000:01:10.6"}
        first = world.neutron.bind(port, binding_on(hosts[0], device_id="container-1"))
        world.bus.report_devices(hosts[0], up=[port.id])

        bound = world.neutron.bind(first, binding_on(hosts[1], device_id="container-1", profile=moved))

        assert (bound.host, bound.vif_type, bound.profile) == (hosts[1], "hw_veb", moved)

    def test_who_does_not_know_that_a_port_has_moved_does_not_move_it_back(self, world: World) -> None:
        port, hosts = reserve(world, a_port(world)), [alive_host(world), alive_host(world)]
        world.neutron.bind(port, binding_on(hosts[1], device_id="container-1"))

        with pytest.raises(PortBusy):
            world.neutron.bind(port, binding_on(hosts[0], device_id="container-1"))

        assert world.neutron.port(port.id).host == hosts[1]

    def test_a_port_that_was_only_reserved_is_given_back_as_it_was(self, world: World) -> None:
        port = a_port(world, {"note": "keep me", "pci_slot": "0000:01:10.7"})

        world.neutron.unbind(reserve(world, port), restore=port.profile)

        after = world.neutron.port(port.id)
        assert after == replace(port, revision=after.revision)

    def test_giving_back_what_was_only_reserved_leaves_a_port_alone_that_is_free_again(self, world: World) -> None:
        reserved = reserve(world, a_port(world, {"pci_slot": "0000:01:10.7"}))
        world.change_port(reserved, device_id="", device_owner="")

        world.neutron.unbind(reserved, restore={"pci_slot": "0000:01:10.5"})

        assert world.neutron.port(reserved.id).profile == {"pci_slot": "0000:01:10.7"}

    def test_a_binding_takes_one_call_and_tells_the_vlan(self, world: World) -> None:
        port = a_port(world)
        host = alive_host(world)

        assert cost_of(world, lambda: world.neutron.bind(port, binding_on(host))) == ["bind_port"]

        bound = world.neutron.port(port.id)
        assert (bound.host, bound.device_id, bound.device_owner) == (host, "endpoint-1", "compute:kuryr")
        assert (bound.vif_type, bound.status) == ("hw_veb", "DOWN")
        assert bound.vlan == world.neutron.network(port.network_id).segments[0].segmentation_id
        assert bound.profile == OWN_PROFILE

    def test_a_binding_answers_with_the_port_as_it_then_is(self, world: World) -> None:
        bound = bound_port(world)

        assert world.neutron.port(bound.id) == bound

    def test_a_flat_network_binds_to_vlan_0(self, world: World) -> None:
        network = world.add_network((("physnet1", False),))
        world.add_subnet(network, world.cidr())
        port = world.neutron.port(world.add_port(network, {}).id)

        assert world.neutron.bind(port, binding_on(alive_host(world, "physnet1"))).vlan == 0

    def test_a_host_without_an_agent_is_no_http_error(self, world: World) -> None:
        bound = world.neutron.bind(a_port(world), binding_on(world.name()))

        assert (bound.vif_type, bound.vlan) == (BINDING_FAILED, None)

    def test_an_agent_that_lacks_the_physical_network_does_not_bind(self, world: World) -> None:
        host = alive_host(world, "physnet1")

        assert world.neutron.bind(a_port(world), binding_on(host)).vif_type == BINDING_FAILED

    def test_the_first_segment_that_the_agent_maps_is_taken(self, world: World) -> None:
        network = world.add_network((("physnet1", True), ("physnet2", True)))
        world.add_subnet(network, world.cidr())
        port = world.neutron.port(world.add_port(network, {}).id)

        bound = world.neutron.bind(port, binding_on(alive_host(world, "physnet2", "physnet1")))

        assert bound.vlan == world.neutron.network(network.id).segments[0].segmentation_id

    def test_binding_keeps_the_profile_keys_of_others(self, world: World) -> None:
        bound = bound_port(world, {"note": "keep me", "pci_slot": "0000:00:00.0"})

        assert bound.profile == {"note": "keep me", **OWN_PROFILE}

    def test_a_binding_may_settle_the_kind_of_port(self, world: World) -> None:
        network = world.add_network()
        world.add_subnet(network, world.cidr())
        new = NewPort(network_id=network.id, name="", addresses=(), vnic_type="normal", device_owner="compute:kuryr")
        port = world.neutron.create_port(new)

        bound = world.neutron.bind(port, binding_on(alive_host(world), vnic_type="direct"))

        assert (bound.vnic_type, bound.vif_type) == ("direct", "hw_veb")

    def test_a_port_for_a_macvtap_device_binds_as_one_for_a_vf(self, world: World) -> None:
        port = a_port(world, vnic_type="macvtap")

        bound = world.neutron.bind(port, binding_on(alive_host(world)))

        assert (bound.vif_type, bound.status) == ("hw_veb", "DOWN")
        assert bound.vlan == world.neutron.network(port.network_id).segments[0].segmentation_id

    def test_a_port_for_a_whole_pf_is_active_at_once_and_has_the_pfs_mac_while_it_is_bound(self, world: World) -> None:
        former = a_port(world, vnic_type="direct-physical")
        profile = {"pci_slot": "0000:01:00.0", "device_mac_address": "02:00:00:00:00:07"}

        bound = world.neutron.bind(former, binding_on(world.name(), profile=profile))
        world.neutron.unbind(bound, restore=former.profile)

        assert (bound.vif_type, bound.status, bound.mac) == ("hostdev_physical", "ACTIVE", "02:00:00:00:00:07")
        assert bound.vlan == world.neutron.network(bound.network_id).segments[0].segmentation_id
        after = world.neutron.port(former.id)
        assert (after.vif_type, after.status, after.profile) == (UNBOUND, "DOWN", {})
        assert after.mac not in (former.mac, bound.mac)

    def test_a_port_for_a_whole_pf_binds_though_its_mac_changed_since_it_was_seen(self, world: World) -> None:
        seen = a_port(world, vnic_type="direct-physical")
        binding = binding_on(world.name(), profile={"pci_slot": "0000:01:00.0"})
        world.neutron.unbind(world.neutron.bind(seen, binding), restore={})

        assert world.neutron.bind(seen, binding).vif_type == "hostdev_physical"

    def test_a_port_for_a_whole_pf_takes_the_first_segment_whatever_the_host_serves(self, world: World) -> None:
        network = world.add_network((("physnet1", True), ("physnet2", True)))
        port = world.neutron.port(world.add_port(network, {}, vnic_type="direct-physical").id)

        bound = world.neutron.bind(port, binding_on(alive_host(world, "physnet2")))

        assert bound.vlan == world.neutron.network(network.id).segments[0].segmentation_id

    def test_a_normal_port_binds_to_the_bridge_of_the_hosts_open_vswitch(self, world: World) -> None:
        port, host = a_port(world, vnic_type="normal"), world.name()
        world.add_ovs_agent(host)

        bound = world.neutron.bind(port, binding_on(host, profile={}))
        world.bus.report_devices(host, up=[port.id])

        assert (bound.vif_type, bound.vlan, bound.status) == ("ovs", None, "DOWN")
        assert bound.vif_details["bridge_name"] == "br-int"
        assert not bound.vif_details["ovs_hybrid_plug"]
        assert world.neutron.port(port.id).status == "ACTIVE"

    def test_an_agent_with_the_hybrid_firewall_says_so(self, world: World) -> None:
        port, host = a_port(world, vnic_type="normal"), world.name()
        world.add_ovs_agent(host, hybrid=True)

        assert world.neutron.bind(port, binding_on(host, profile={})).vif_details["ovs_hybrid_plug"] is True

    def test_an_agent_for_sriov_ports_does_not_bind_normal_ones_nor_the_other_way_round(self, world: World) -> None:
        host = world.name()
        world.add_ovs_agent(host)

        direct = world.neutron.bind(a_port(world), binding_on(host))
        normal = world.neutron.bind(a_port(world, vnic_type="normal"), binding_on(alive_host(world), profile={}))

        assert [direct.vif_type, normal.vif_type] == [BINDING_FAILED, BINDING_FAILED]

    def test_a_policys_egress_limits_are_read_in_one_call_and_its_ingress_limits_are_not(self, world: World) -> None:
        policy = world.add_qos_policy(max_kbps=5000, min_kbps=1000, ingress_kbps=300)

        assert cost_of(world, lambda: world.neutron.egress_limits(policy)) == ["show_qos_policy"]
        limits = world.neutron.egress_limits(policy)

        assert (limits.max_kbps, limits.min_kbps) == (5000, 1000)

    def test_a_policy_without_rules_limits_nothing(self, world: World) -> None:
        limits = world.neutron.egress_limits(world.add_qos_policy())

        assert (limits.max_kbps, limits.min_kbps) == (0, 0)

    def test_a_policy_that_is_gone_limits_nothing(self, world: World) -> None:
        assert world.neutron.egress_limits(UNKNOWN) == EgressLimits()

    def test_the_edit_of_a_rule_raises_the_policys_revision_and_not_the_ports(self, world: World) -> None:
        policy = world.add_qos_policy(max_kbps=5000)
        before, port = world.neutron.egress_limits(policy), bound_port(world, qos_policy_id=policy)

        world.change_rule(policy, max_kbps=7000)

        after = world.neutron.egress_limits(policy)
        assert (before.max_kbps, after.max_kbps) == (5000, 7000)
        assert after.revision > before.revision
        assert world.neutron.port(port.id) == port

    def test_a_port_has_its_own_policy_or_else_its_networks(self, world: World) -> None:
        own, networks = world.add_qos_policy(), world.add_qos_policy()
        port, plain = a_port(world, qos_policy_id=own), a_port(world)
        for item in (port, plain):
            world.change_network(item.network_id, qos_policy_id=networks)

        assert plain.qos_policy_id is None
        assert [world.neutron.port(item.id).qos_policy_id for item in (port, plain)] == [own, networks]

    def test_a_port_that_somebody_else_took_is_refused_with_its_user(self, world: World) -> None:
        port = a_port(world)
        host = alive_host(world)
        world.neutron.bind(port, binding_on(host, device_id="endpoint-of-another"))

        with pytest.raises(PortBusy, match="endpoint-of-another"):
            world.neutron.bind(port, binding_on(host))

        assert world.neutron.port(port.id).device_id == "endpoint-of-another"

    def test_a_port_that_only_got_another_name_binds_all_the_same(self, world: World) -> None:
        port = a_port(world)
        host = alive_host(world)
        world.change_port(port, name="renamed")

        calls = cost_of(world, lambda: world.neutron.bind(port, binding_on(host)))

        assert calls == ["bind_port", "show_port", "bind_port"]
        assert world.neutron.port(port.id).device_id == "endpoint-1"

    def test_a_port_that_was_given_back_since_it_was_seen_binds_with_the_profile_it_has_now(self, world: World) -> None:
        former = a_port(world, {"note": "keep me"})
        host = alive_host(world)
        seen = world.neutron.bind(
            former, binding_on(host, device_id="endpoint-0", profile={"pci_slot": "0000:01:10.7"})
        )
        world.neutron.unbind(seen, restore=former.profile)

        bound = world.neutron.bind(seen, binding_on(host, profile={"physical_network": "physnet2"}))

        assert (bound.device_id, bound.vif_type) == ("endpoint-1", "hw_veb")
        assert bound.profile == {"note": "keep me", "physical_network": "physnet2"}

    def test_a_free_port_whose_mac_was_changed_since_it_was_seen_is_refused(self, world: World) -> None:
        port = a_port(world)
        world.change_port(port, mac_address="fa:16:3e:99:00:03")

        with pytest.raises(PortBusy, match="somebody who changed it at the same time"):
            world.neutron.bind(port, binding_on(alive_host(world)))

    def test_binding_a_port_that_is_gone_says_so(self, world: World) -> None:
        port = a_port(world)
        world.neutron.delete_port(port.id)

        with pytest.raises(PortNotFound):
            world.neutron.bind(port, binding_on(alive_host(world)))

    def test_a_trusted_port_stays_bound_when_the_same_is_written_again(self, world: World) -> None:
        port = a_port(world, trusted=True)
        assert port.trusted is True
        host = alive_host(world)
        bound = world.neutron.bind(port, binding_on(host))
        world.bus.report_devices(host, up=[port.id])

        world.neutron.bind(world.neutron.port(port.id), binding_on(host))

        again = world.neutron.port(port.id)
        assert (again.vif_type, again.status) == (bound.vif_type, "ACTIVE")

    def test_unbinding_takes_one_call_and_leaves_the_port_as_it_was(self, world: World) -> None:
        former = a_port(world, {"pci_slot": "0000:01:10.7", "note": "keep me"})
        bound = world.neutron.bind(former, binding_on(alive_host(world)))

        calls = cost_of(world, lambda: world.neutron.unbind(bound, restore=former.profile))

        assert calls == ["unbind_port"]
        after = world.neutron.port(former.id)
        assert after == replace(former, revision=after.revision)

    def test_unbinding_knows_its_port_though_the_revision_moved_on(self, world: World) -> None:
        bound = bound_port(world)
        world.bus.report_devices(bound.host, up=[bound.id])

        calls = cost_of(world, lambda: world.neutron.unbind(bound, restore={}))

        assert calls == ["unbind_port", "show_port", "unbind_port"]
        after = world.neutron.port(bound.id)
        assert (after.host, after.device_id, after.status, after.profile) == ("", "", "DOWN", {})

    def test_unbinding_undoes_a_binding_whose_answer_was_lost(self, world: World) -> None:
        former = a_port(world, {"pci_slot": "0000:01:10.7"})
        host = alive_host(world)
        world.neutron.bind(former, binding_on(host))

        meant = replace(former, host=host, device_id="endpoint-1")
        world.neutron.unbind(meant, restore=former.profile)

        after = world.neutron.port(former.id)
        assert (after.vif_type, after.device_id, after.profile) == (UNBOUND, "", {"pci_slot": "0000:01:10.7"})

    def test_unbinding_leaves_a_port_alone_that_is_somebody_elses_by_now(self, world: World) -> None:
        bound = bound_port(world)
        world.neutron.bind(bound, binding_on(bound.host, device_id="endpoint-2"))

        world.neutron.unbind(bound, restore={})

        assert world.neutron.port(bound.id).device_id == "endpoint-2"

    def test_unbinding_a_port_that_is_gone_is_a_success(self, world: World) -> None:
        bound = bound_port(world)
        world.neutron.delete_port(bound.id)

        world.neutron.unbind(bound, restore={})

    def test_a_port_becomes_active_when_reported_up_and_down_when_unbound(self, world: World) -> None:
        bound = bound_port(world)

        world.bus.report_devices(bound.host, up=[bound.id])
        active = world.neutron.port(bound.id)
        world.neutron.unbind(active, restore={})

        assert active.status == "ACTIVE"
        assert world.neutron.port(bound.id).status == "DOWN"

    def test_a_port_goes_down_when_reported_down(self, world: World) -> None:
        bound = bound_port(world)
        world.bus.report_devices(bound.host, up=[bound.id])

        world.bus.report_devices(bound.host, down=[bound.id])

        assert world.neutron.port(bound.id).status == "DOWN"

    def test_a_report_for_the_wrong_host_or_an_unknown_port_changes_nothing(self, world: World) -> None:
        bound = bound_port(world)

        world.bus.report_devices(world.name(), up=[bound.id])
        world.bus.report_devices(bound.host, up=[UNKNOWN])

        assert world.neutron.port(bound.id).status == "DOWN"

    def test_a_port_that_is_administratively_down_does_not_become_active(self, world: World) -> None:
        bound = bound_port(world, admin_state_up=False)

        world.bus.report_devices(bound.host, up=[bound.id])

        assert not bound.admin_state_up
        assert world.neutron.port(bound.id).status == "DOWN"

    def test_a_port_is_created_with_its_address_kind_owner_and_tags(self, world: World) -> None:
        network = world.add_network()
        cidr = ip_network(world.cidr())
        subnet = world.add_subnet(network, str(cidr))
        tag = world.name()
        new = NewPort(
            network_id=network.id,
            name="kuryr-port",
            addresses=((subnet.id, cidr[9]),),
            vnic_type="direct",
            device_owner="compute:kuryr",
            mac="fa:16:3e:99:00:01",
            tags=frozenset({tag, "other"}),
        )

        port = world.neutron.create_port(new)

        assert (port.name, port.vnic_type, port.device_owner) == ("kuryr-port", "direct", "compute:kuryr")
        assert (port.mac, port.vif_type, port.tags) == ("fa:16:3e:99:00:01", UNBOUND, {tag, "other"})
        assert [(fixed.subnet_id, fixed.address) for fixed in port.fixed_ips] == [(subnet.id, cidr[9])]
        assert world.neutron.port(port.id) == port

    def test_a_port_is_created_for_another_project_with_its_device_and_security_groups(self, world: World) -> None:
        network, group, description = world.add_network(), world.add_security_group(), f"mooring:{world.name()}"
        world.add_subnet(network, world.cidr())
        new = NewPort(
            network_id=network.id,
            name="mooring",
            addresses=(),
            vnic_type="normal",
            device_owner="compute:mooring",
            description=description,
            project_id=group.project_id,
            device_id=world.name(),
            security_groups=(group.id,),
        )

        port = world.neutron.create_port(new)

        assert (port.project_id, port.security_groups) == (group.project_id, (group.id,))
        assert (port.device_id, port.device_owner) == (new.device_id, "compute:mooring")
        assert (port.vif_type, port.description) == (UNBOUND, description)
        assert world.neutron.ports(device_id=new.device_id) == (port,)

    def test_a_created_port_may_leave_the_address_to_neutron(self, world: World) -> None:
        network = world.add_network()
        subnet = world.add_subnet(network, world.cidr())
        new = NewPort(
            network_id=network.id, name="", addresses=((subnet.id, None),), vnic_type="direct", device_owner=""
        )

        port = world.neutron.create_port(new)

        assert port.fixed_ips[0].address in subnet.cidr

    def test_an_address_that_another_port_has_cannot_be_had(self, world: World) -> None:
        port = a_port(world)
        fixed = port.fixed_ips[0]
        new = NewPort(
            network_id=port.network_id,
            name="",
            addresses=((fixed.subnet_id, fixed.address),),
            vnic_type="direct",
            device_owner="",
        )

        with pytest.raises(NetworkUnusable, match=str(fixed.address).replace(".", r"\.")):
            world.neutron.create_port(new)

    def test_an_address_outside_the_subnet_is_refused_as_input(self, world: World) -> None:
        network = world.add_network()
        subnet = world.add_subnet(network, world.cidr())
        outside = ((subnet.id, ip_address("192.0.2.1")),)
        new = NewPort(network_id=network.id, name="", addresses=outside, vnic_type="direct", device_owner="")

        with pytest.raises(NeutronRefused, match=r"192\.0\.2\.1") as refused:
            world.neutron.create_port(new)

        assert refused.value.status == 400

    def test_a_full_subnet_has_no_address_to_give(self, world: World) -> None:
        network = world.add_network()
        subnet = world.add_subnet(network, "198.51.100.0/30")
        new = NewPort(
            network_id=network.id, name="", addresses=((subnet.id, None),), vnic_type="direct", device_owner=""
        )
        world.neutron.create_port(new)

        with pytest.raises(NetworkUnusable, match="No more IP addresses"):
            world.neutron.create_port(new)

    def test_a_port_cannot_be_created_on_a_network_that_does_not_exist(self, world: World) -> None:
        new = NewPort(network_id=UNKNOWN, name="", addresses=(), vnic_type="direct", device_owner="")

        with pytest.raises(NetworkUnusable, match=UNKNOWN):
            world.neutron.create_port(new)

    def test_deleting_a_port_twice_is_a_success(self, world: World) -> None:
        bound = bound_port(world)

        world.neutron.delete_port(bound.id)
        world.neutron.delete_port(bound.id)

        assert world.neutron.ports(network_id=bound.network_id) == ()

    def test_the_mac_of_a_bound_port_cannot_be_changed(self, world: World) -> None:
        bound = bound_port(world)

        with pytest.raises(Exception, match="already bound"):
            world.change_port(bound, mac_address="fa:16:3e:99:00:02")


class NetworkContract:
    """Inherit and give a ``world`` fixture."""

    def test_a_network_is_read_anew_each_time(self, world: World) -> None:
        network = world.add_network()

        for _ in range(2):
            assert cost_of(world, lambda: world.neutron.network(network.id)) == ["show_network"]

    def test_a_network_that_does_not_exist_is_named_in_the_refusal(self, world: World) -> None:
        with pytest.raises(NetworkUnusable, match=UNKNOWN):
            world.neutron.network(UNKNOWN)

    def test_a_network_tells_its_segment_and_mtu(self, world: World) -> None:
        network = world.neutron.network(world.add_network().id)

        (segment,) = network.segments
        assert (segment.network_type, segment.physical_network) == ("vlan", "physnet2")
        assert segment.segmentation_id is not None
        assert network.mtu == 1500

    def test_a_flat_network_has_no_segmentation_id(self, world: World) -> None:
        network = world.neutron.network(world.add_network((("physnet1", False),)).id)

        assert network.segments == (Segment(network_type="flat", physical_network="physnet1", segmentation_id=None),)

    def test_a_multi_provider_network_tells_its_segments_in_order(self, world: World) -> None:
        network = world.neutron.network(world.add_network((("physnet2", True), ("physnet1", True))).id)

        assert [segment.physical_network for segment in network.segments] == ["physnet2", "physnet1"]

    def test_networks_are_found_by_id_name_and_all_their_tags(self, world: World) -> None:
        name, tag = world.name(), world.name()
        made = world.neutron.create_network(name=name, shared=False, tags=[tag, "other"])
        plain = world.neutron.create_network(name=name, shared=True, tags=[])
        try:
            assert made.tags == {tag, "other"}
            assert [item.shared for item in (made, plain)] == [False, True]
            assert {item.id for item in world.neutron.networks(name=name)} == {made.id, plain.id}
            assert [item.id for item in world.neutron.networks(tags=[tag, "other"])] == [made.id]
            assert world.neutron.networks(tags=[tag, "absent"]) == ()
            assert world.neutron.networks(network_id=plain.id) == (plain,)
        finally:
            for item in (made, plain):
                world.neutron.delete_network(item.id)
                world.neutron.delete_network(item.id)
        assert world.neutron.networks(name=name) == ()

    def test_a_network_tells_whose_it_is_and_when_it_was_made(self, world: World) -> None:
        older, younger = world.add_network(), world.add_network()

        assert older.project_id
        assert not older.is_external
        assert older.created_at <= younger.created_at
        found = world.neutron.networks(project_id=older.project_id, shared=older.shared)
        assert {older.id, younger.id} <= {network.id for network in found}
        assert older.id not in {network.id for network in world.neutron.networks(shared=not older.shared)}
        assert world.neutron.networks(network_id=older.id, project_id=UNKNOWN) == ()

    def test_security_groups_are_found_by_id_name_and_project(self, world: World) -> None:
        group = world.add_security_group()

        assert world.neutron.security_groups(group_id=group.id) == (group,)
        assert world.neutron.security_groups(name=group.name, project_id=group.project_id) == (group,)
        assert world.neutron.security_groups(name=group.name, project_id=UNKNOWN) == ()

    def test_a_network_with_ports_stays(self, world: World) -> None:
        port = a_port(world)

        with pytest.raises(NeutronConflict):
            world.neutron.delete_network(port.network_id)

    @pytest.mark.parametrize("cidr", ["198.51.100.0/24", "2001:db8:1::/64"])
    def test_a_subnet_is_created_as_asked_and_found_by_each_filter(self, world: World, cidr: str) -> None:
        network, tag, wanted = world.add_network(), world.name(), ip_network(cidr)

        subnet = world.neutron.create_subnet(
            network_id=network.id,
            name="kuryr-subnet",
            cidr=wanted,
            gateway=wanted[1],
            subnetpool_id=None,
            enable_dhcp=False,
            tags=[tag],
        )

        assert (subnet.cidr, subnet.gateway, subnet.subnetpool_id, subnet.tags) == (wanted, wanted[1], None, {tag})
        for filters in (
            {"subnet_id": subnet.id},
            {"network_id": network.id, "cidr": wanted},
            {"network_id": network.id, "name": "kuryr-subnet"},
            {"tags": [tag]},
        ):
            assert world.neutron.subnets(**filters) == (subnet,)
        world.neutron.delete_subnet(subnet.id)
        world.neutron.delete_subnet(subnet.id)
        assert world.neutron.subnets(subnet_id=subnet.id) == ()

    def test_what_bears_a_description_is_deleted_and_nothing_else(self, world: World) -> None:
        mine, other, network, cidr = world.name(), world.name(), world.add_network(), ip_network(world.cidr())
        neutron = world.neutron
        for description in (mine, other):
            pool = neutron.create_subnetpool(
                name=description, prefixes=[cidr], shared=False, tags=[], description=description
            )
            if description == mine:
                neutron.create_subnet(
                    network_id=network.id,
                    name="",
                    cidr=cidr,
                    gateway=None,
                    subnetpool_id=pool.id,
                    enable_dhcp=False,
                    tags=[],
                    description=description,
                )
        new = NewPort(network_id=network.id, name="", addresses=(), vnic_type="direct", device_owner="")
        ports = [neutron.create_port(replace(new, description=description)) for description in (mine, other)]
        taken = world.add_port(network, {}, description=mine, device_id="somebody's")
        assert [port.description for port in ports] == [mine, other]
        assert [subnet.description for subnet in neutron.subnets(network_id=network.id)] == [mine]
        neutron.delete_described("ports", mine)
        assert {port.id for port in neutron.ports(network_id=network.id)} == {ports[1].id, taken.id}
        for port in (ports[1], taken):
            neutron.delete_port(port.id)

        for resource in ("subnets", "subnetpools"):
            neutron.delete_described(resource, mine)

        assert neutron.subnets(network_id=network.id) == ()
        assert neutron.subnetpools(name=mine) == ()
        (left,) = neutron.subnetpools(name=other)
        assert cost_of(world, lambda: neutron.delete_described("subnetpools", mine)) == ["list_subnetpools"]
        neutron.delete_subnetpool(left.id)

    def test_a_subnet_may_have_no_gateway(self, world: World) -> None:
        subnet = create_subnet(world, world.add_network(), ip_network(world.cidr()))

        assert subnet.gateway is None
        assert world.neutron.subnets(subnet_id=subnet.id) == (subnet,)

    def test_a_subnet_with_ports_stays(self, world: World) -> None:
        port = a_port(world)

        with pytest.raises(NeutronConflict):
            world.neutron.delete_subnet(port.fixed_ips[0].subnet_id)

    def test_subnets_of_one_network_do_not_overlap(self, world: World) -> None:
        network, cidr = world.add_network(), world.cidr()
        world.add_subnet(network, cidr)

        with pytest.raises(NeutronRefused) as refused:
            create_subnet(world, network, ip_network(cidr))

        assert refused.value.status == 400

    def test_a_pool_hands_a_cidr_out_once(self, world: World) -> None:
        cidr, tag = ip_network(world.cidr()), world.name()
        pool = world.neutron.create_subnetpool(name=world.name(), prefixes=[cidr], shared=False, tags=[tag])

        def subnet() -> Subnet:
            return create_subnet(world, world.add_network(), cidr, gateway=cidr[1], subnetpool_id=pool.id)

        first = subnet()
        with pytest.raises(NeutronRefused, match="allocate"):
            subnet()
        with pytest.raises(NeutronRefused):
            world.neutron.delete_subnetpool(pool.id)
        assert world.neutron.subnets(subnetpool_id=pool.id) == (first,)
        world.neutron.delete_subnet(first.id)
        world.neutron.delete_subnet(subnet().id)
        world.neutron.delete_subnetpool(pool.id)
        world.neutron.delete_subnetpool(pool.id)

    def test_pools_are_found_by_id_name_and_tags(self, world: World) -> None:
        name, tag = world.name(), world.name()
        prefixes = [ip_network("203.0.113.0/25"), ip_network("203.0.113.128/26")]

        pool = world.neutron.create_subnetpool(name=name, prefixes=prefixes, shared=True, tags=[tag])

        assert (set(pool.prefixes), pool.shared, pool.tags) == (set(prefixes), True, {tag})
        assert world.neutron.subnetpools(pool_id=pool.id) == (pool,)
        assert world.neutron.subnetpools(name=name) == (pool,)
        assert world.neutron.subnetpools(tags=[tag]) == (pool,)

    def test_a_network_takes_subnets_from_one_pool_only(self, world: World) -> None:
        network = world.add_network()
        world.add_subnet(network, world.cidr())
        cidr = ip_network(world.cidr())
        pool = world.neutron.create_subnetpool(name=world.name(), prefixes=[cidr], shared=False, tags=[])

        with pytest.raises(NeutronRefused, match="same subnet pool"):
            create_subnet(world, network, cidr, subnetpool_id=pool.id)

    def test_tags_are_added_and_removed_without_touching_others(self, world: World) -> None:
        port = a_port(world)
        world.neutron.add_tags("ports", port.id, ["a", "b"])
        world.neutron.add_tags("ports", port.id, ["b", "c"])

        world.neutron.remove_tags("ports", port.id, ["a", "absent"])

        assert world.neutron.port(port.id).tags == {"b", "c"}

    def test_removing_tags_of_something_that_is_gone_is_a_success(self, world: World) -> None:
        for resource in ("ports", "networks", "subnets", "subnetpools"):
            world.neutron.remove_tags(resource, UNKNOWN, ["a", "b"])

    def test_tagging_something_that_is_gone_is_refused(self, world: World) -> None:
        with pytest.raises(NeutronRefused):
            world.neutron.add_tags("ports", UNKNOWN, ["a"])

    def test_an_agent_that_mooring_reported_bears_its_mark(self, world: World) -> None:
        host = alive_host(world, "physnet1", "physnet2")
        world.bus.report_agent(host, {"physnet2": ("ens5", "ens6")}, started=False)

        (agent,) = world.neutron.agents(host=host, agent_type=AGENT_TYPE)

        assert agent.alive
        assert agent.configurations["device_mappings"] == {"physnet2": ["ens5", "ens6"]}
        assert REPORTED_BY.items() <= agent.configurations.items()

    def test_a_host_nobody_reported_has_no_agents(self, world: World) -> None:
        assert world.neutron.agents(host=world.name(), agent_type=AGENT_TYPE) == ()


class NewsContract:
    """Inherit and give a ``world`` fixture."""

    @pytest.mark.parametrize(
        "change",
        [{"admin_state_up": False}, {"port_security_enabled": False}, {"fixed_ips": []}],
        ids=lambda change: next(iter(change)),
    )
    def test_a_change_that_a_wired_device_follows_is_told_with_the_ports_revision(
        self, world: World, change: Mapping[str, object]
    ) -> None:
        news = world.listen()
        port = bound_port(world, security_groups=[])
        assert next_about(news, port.id) == PortNews(port_id=port.id, revision=port.revision)

        world.change_port(port, **change)

        assert next_about(news, port.id) == PortNews(port_id=port.id, revision=world.neutron.port(port.id).revision)

    def test_a_policy_that_is_given_to_a_port_or_its_network_is_told(self, world: World) -> None:
        news, port, policy = world.listen(), bound_port(world), world.add_qos_policy()
        next_about(news, port.id)

        world.change_port(port, qos_policy_id=policy)
        world.change_network(port.network_id, qos_policy_id=policy)

        assert next_about(news, port.id).revision == world.neutron.port(port.id).revision
        assert next_about(news, port.network_id) == PortNews(network_id=port.network_id)

    def test_a_ports_deletion_is_told(self, world: World) -> None:
        news, port = world.listen(), a_port(world)

        world.neutron.delete_port(port.id)

        assert next_about(news, port.id) == PortNews(port_id=port.id, deleted=True)

    def test_a_networks_mtu_is_told(self, world: World) -> None:
        news, network = world.listen(), world.add_network()

        world.change_network(network.id, mtu=1400)

        assert next_about(news, network.id) == PortNews(network_id=network.id)

    def test_what_no_device_follows_is_not_told_nor_what_neutron_keeps_to_itself(self, world: World) -> None:
        news, port, free, policy = world.listen(), bound_port(world), a_port(world), world.add_qos_policy(max_kbps=5000)
        next_about(news, port.id)

        world.change_port(port, name="renamed")
        world.change_port(port, trusted=True)
        world.bus.report_devices(port.host, up=[port.id])
        world.change_rule(policy, max_kbps=7000)
        world.change_port(free, admin_state_up=False)
        world.neutron.bind(world.neutron.port(free.id), binding_on(world.name()))
        world.neutron.unbind(world.neutron.port(free.id), restore={})
        world.change_port(port, admin_state_up=False)

        # News of one kind comes in order: had anything been told, it would have come first.
        told = next_about(news, port.id, free.id)
        assert told == PortNews(port_id=port.id, revision=world.neutron.port(port.id).revision)
