from __future__ import annotations

from dataclasses import replace

import pytest

from mooring.errors import BindingRefused, NetworkUnusable
from mooring.neutron.binding import Plugging, physical_network_of, verify_binding, verify_plugging
from mooring.neutron.model import Network, Port, Segment


def segment(physical_network: str | None, vlan: int | None) -> Segment:
    kind = "vxlan" if physical_network is None else "flat" if vlan is None else "vlan"
    return Segment(network_type=kind, physical_network=physical_network, segmentation_id=vlan)


def network(*segments: Segment) -> Network:
    return Network(id="n1", name="net04", mtu=1500, segments=segments)


BOUND = Port(
    id="p1",
    network_id="n1",
    mac="fa:16:3e:00:00:01",
    revision=4,
    vnic_type="direct",
    vif_type="hw_veb",
    vlan=150,
    host="node1",
)
TWO = network(segment("physnet1", 160), segment("physnet2", 260))


@pytest.mark.parametrize(
    ("served", "expected"), [(["physnet2", "physnet1"], 160), (["physnet1"], 160), (["physnet2"], 260)]
)
def test_the_first_segment_that_the_host_serves_is_the_one(served: list[str], expected: int) -> None:
    assert physical_network_of(TWO, served).segmentation_id == expected


def test_a_network_elsewhere_is_refused_with_where_it_is_and_what_is_here() -> None:
    with pytest.raises(NetworkUnusable) as raised:
        physical_network_of(TWO, ["physnet9", "physnet3"])

    assert str(raised.value) == (
        "Neutron network net04 (n1) cannot be used: it is on physnet1:160, physnet2:260, "
        "but the devices of this host are on physnet3, physnet9"
    )


def test_a_host_that_serves_nothing_says_so() -> None:
    with pytest.raises(NetworkUnusable, match="are on none"):
        physical_network_of(TWO, [])


def test_a_tunnel_network_has_no_physical_network() -> None:
    with pytest.raises(NetworkUnusable, match=r"no physical_network \(network type vxlan\)"):
        physical_network_of(network(segment(None, 42)), ["physnet1"])


def test_a_tunnel_segment_is_passed_over() -> None:
    mixed = network(segment(None, 42), segment("physnet2", 150))

    assert physical_network_of(mixed, ["physnet2"]).segmentation_id == 150


def test_a_pf_is_put_on_the_first_segment_whatever_the_host_serves() -> None:
    assert physical_network_of(TWO, ["physnet1"], vnic_type="direct-physical").segmentation_id == 160

    with pytest.raises(NetworkUnusable, match="it is on physnet1:160, physnet2:260"):
        physical_network_of(TWO, ["physnet2"], vnic_type="direct-physical")


def test_a_pf_is_not_put_on_a_tunnel_segment() -> None:
    mixed = network(segment(None, 42), segment("physnet2", 150))

    assert physical_network_of(mixed, ["physnet2"], vnic_type="direct-physical").segmentation_id == 150


@pytest.mark.parametrize(
    ("vnic_type", "vif_type"), [("direct", "hw_veb"), ("macvtap", "hw_veb"), ("direct-physical", "hostdev_physical")]
)
def test_a_binding_that_fits_tells_its_vlan(vnic_type: str, vif_type: str) -> None:
    bound = replace(BOUND, vnic_type=vnic_type, vif_type=vif_type)

    assert verify_binding(bound, network(segment("physnet2", 150)), "physnet2") == 150


def test_the_vlan_of_a_device_on_the_second_segment_is_the_second_segments() -> None:
    assert verify_binding(replace(BOUND, vlan=260), TWO, "physnet2") == 260


def test_a_binding_to_a_flat_network_has_vlan_0() -> None:
    assert verify_binding(replace(BOUND, vlan=0), network(segment("physnet2", None)), "physnet2") == 0


def test_a_failed_binding_names_the_agent_that_is_missing() -> None:
    failed = replace(BOUND, vif_type="binding_failed", vlan=None)

    with pytest.raises(BindingRefused, match="'NIC Switch agent', alive, with host node1, that maps physnet2"):
        verify_binding(failed, network(segment("physnet2", 150)), "physnet2")


def test_a_pf_that_could_not_be_bound_needs_a_driver_and_no_agent() -> None:
    failed = replace(BOUND, vnic_type="direct-physical", vif_type="binding_failed", vlan=None)

    with pytest.raises(BindingRefused, match="mechanism driver sriovnicswitch") as raised:
        verify_binding(failed, network(segment("physnet2", 150)), "physnet2")

    assert "agent" not in str(raised.value)


def test_a_vlan_of_another_physical_network_is_refused() -> None:
    with pytest.raises(BindingRefused, match="VLAN 160, which the network does not have on physnet2"):
        verify_binding(replace(BOUND, vlan=160), TWO, "physnet2")


def test_an_answer_without_a_vlan_is_refused() -> None:
    with pytest.raises(BindingRefused, match="does not say the VLAN"):
        verify_binding(replace(BOUND, vlan=None), network(segment("physnet2", 150)), "physnet2")


VNIC_TYPES = ("direct", "macvtap", "direct-physical", "normal", "vdpa", "virtio-forwarder", "remote-managed")
VIF_TYPES = ("hw_veb", "hostdev_physical", "ovs", "bridge", "vhostuser", "macvtap", "tap", "unbound")
SERVED = {
    ("direct", "hw_veb"),
    ("macvtap", "hw_veb"),
    ("direct-physical", "hostdev_physical"),
    ("normal", "ovs"),
    ("normal", "bridge"),
}


@pytest.mark.parametrize("vif_type", VIF_TYPES)
@pytest.mark.parametrize("vnic_type", VNIC_TYPES)
def test_every_other_pair_is_refused_with_both_its_names(vnic_type: str, vif_type: str) -> None:
    port = replace(BOUND, vnic_type=vnic_type, vif_type=vif_type)

    def verify() -> object:
        if vnic_type == "normal":
            return verify_plugging(port)
        return verify_binding(port, network(segment("physnet2", 150)), "physnet2")

    if (vnic_type, vif_type) in SERVED:
        verify()
    else:
        with pytest.raises(BindingRefused, match=rf"vif_type {vif_type} for vnic_type {vnic_type}, where "):
            verify()


NORMAL = replace(BOUND, vnic_type="normal", vif_type="ovs", vlan=None, network_id="01234567-89ab-cdef")


@pytest.mark.parametrize(
    ("vif_type", "details", "bridge"),
    [
        ("ovs", {"bridge_name": "br-other"}, "br-other"),
        ("ovs", {"bridge_name": "br-int", "ovs_hybrid_plug": False, "datapath_type": "system"}, "br-int"),
        ("ovs", {}, "br-int"),
        ("bridge", {}, "brq01234567-89"),
        ("bridge", {"bridge_name": "br-own"}, "br-own"),
    ],
)
def test_a_normal_port_is_plugged_into_the_bridge_its_binding_means(
    vif_type: str, details: dict[str, object], bridge: str
) -> None:
    port = replace(NORMAL, vif_type=vif_type, vif_details=details)

    assert verify_plugging(port) == Plugging(vif_type=vif_type, bridge=bridge)


@pytest.mark.parametrize(
    ("details", "told"),
    [
        ({"ovs_hybrid_plug": True}, "vif_type ovs and the hybrid plug; set firewall_driver"),
        ({"vhostuser_mode": "server"}, "vif_type ovs and vhostuser_mode server"),
    ],
)
def test_an_open_vswitch_that_no_veth_fits_is_refused_with_the_remedy(details: dict[str, object], told: str) -> None:
    with pytest.raises(BindingRefused, match=f"vnic_type normal with {told}"):
        verify_plugging(replace(NORMAL, vif_details=details))


def test_a_normal_port_that_could_not_be_bound_names_the_agent_that_is_missing() -> None:
    with pytest.raises(BindingRefused, match="'Open vSwitch agent', alive, with host node1"):
        verify_plugging(replace(NORMAL, vif_type="binding_failed"))
