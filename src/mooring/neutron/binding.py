"""The rules of a binding: which segment Neutron will take, and whether what it answered fits the VF. No I/O."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from mooring.errors import BindingRefused, NetworkUnusable
from mooring.neutron.api import AGENT_TYPE
from mooring.neutron.model import BINDING_FAILED, Network, Port, Segment

_VIF_TYPES: Final = {"direct": "hw_veb", "macvtap": "hw_veb"}
"""What the mechanism driver ``sriovnicswitch`` answers, by vnic_type (ml2/drivers/mech_sriov/mech_driver)."""


def physical_network_of(network: Network, served: Collection[str]) -> Segment:
    """Return the segment that Neutron will bind a port of the network to, on a host that serves these networks.

    The SR-IOV mechanism driver takes the first segment, in order, whose physical network the host's agent maps;
    it does not ask which one the device is on. So a VF is chosen on this segment's physical network. Raises
    NetworkUnusable when there is no such segment.
    """
    for segment in network.segments:
        if segment.physical_network is not None and segment.physical_network in served:
            return segment
    name = f"{network.name} ({network.id})" if network.name else network.id
    if all(segment.physical_network is None for segment in network.segments):
        kinds = ", ".join(segment.network_type for segment in network.segments) or "none"
        raise NetworkUnusable(
            name, f"it has no physical_network (network type {kinds}); an SR-IOV port needs a vlan or flat network"
        )
    here = ", ".join(sorted(served)) or "none"
    raise NetworkUnusable(name, f"it is on {_told(network)}, but the devices of this host are on {here}")


def verify_binding(port: Port, network: Network, physical_network: str) -> int:
    """Return the VLAN (0 for none) of a port that was just bound to a VF on the given physical network.

    Neutron answers 200 to a binding that failed, and does not check that the VF is on the segment it chose. Raises
    BindingRefused when the port is not bound as its vnic_type asks, or its VLAN is of another physical network.
    """
    if port.vif_type == BINDING_FAILED:
        raise BindingRefused(
            port.id,
            port.host,
            f"no mechanism driver could bind it (vnic_type {port.vnic_type}, network {network.id} "
            f"on {_told(network)}); there must be an agent of type '{AGENT_TYPE}', alive, with host "
            f"{port.host}, that maps {physical_network}: see 'openstack network agent list --host {port.host}'",
        )
    expected = _VIF_TYPES.get(port.vnic_type)
    if port.vif_type != expected:
        raise BindingRefused(
            port.id,
            port.host,
            f"Neutron answered vif_type {port.vif_type} for vnic_type {port.vnic_type}, where {expected} was expected",
        )
    if port.vlan is None:
        raise BindingRefused(port.id, port.host, "Neutron's answer does not say the VLAN")
    if (physical_network, port.vlan) not in {(s.physical_network, s.segmentation_id or 0) for s in network.segments}:
        raise BindingRefused(
            port.id,
            port.host,
            f"Neutron bound it to VLAN {port.vlan}, which the network does not have on {physical_network}, where the "
            f"device is (network {network.id} is on {_told(network)})",
        )
    return port.vlan


def _told(network: Network) -> str:
    return ", ".join(
        f"{s.physical_network or 'no physical network'}:{s.segmentation_id or s.network_type}" for s in network.segments
    )
