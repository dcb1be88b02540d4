from __future__ import annotations

from dataclasses import replace

import pytest

from mooring.errors import BindingRefused, NetworkUnusable
from mooring.neutron.binding import physical_network_of, verify_binding
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


@pytest.mark.parametrize("vnic_type", ["direct", "macvtap"])
def test_a_binding_that_fits_tells_its_vlan(vnic_type: str) -> None:
    assert verify_binding(replace(BOUND, vnic_type=vnic_type), network(segment("physnet2", 150)), "physnet2") == 150


def test_a_binding_to_a_flat_network_has_vlan_0() -> None:
    assert verify_binding(replace(BOUND, vlan=0), network(segment("physnet2", None)), "physnet2") == 0


def test_a_failed_binding_names_the_agent_that_is_missing() -> None:
    failed = replace(BOUND, vif_type="binding_failed", vlan=None)

    with pytest.raises(BindingRefused, match="'NIC Switch agent', alive, with host node1, that maps physnet2"):
        verify_binding(failed, network(segment("physnet2", 150)), "physnet2")


def test_a_vlan_of_another_physical_network_is_refused() -> None:
    with pytest.raises(BindingRefused, match="VLAN 160, which the network does not have on physnet2"):
        verify_binding(replace(BOUND, vlan=160), TWO, "physnet2")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"vif_type": "ovs"}, "vif_type ovs"),
        ({"vif_type": "unbound"}, "vif_type unbound"),
        ({"vnic_type": "normal"}, "vnic_type normal"),
        ({"vlan": None}, "does not say the VLAN"),
    ],
)
def test_a_binding_of_another_kind_is_refused(change: dict[str, object], told: str) -> None:
    with pytest.raises(BindingRefused, match=told):
        verify_binding(replace(BOUND, **change), network(segment("physnet2", 150)), "physnet2")
