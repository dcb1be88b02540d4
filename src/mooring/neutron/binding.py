"""The rules of a binding: which segment Neutron will take, and whether what it answered fits the device. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from mooring.errors import BindingRefused, NetworkUnusable
from mooring.neutron.api import AGENT_TYPE
from mooring.neutron.model import BINDING_FAILED, DIRECT, Network, Port, Segment

_VIF_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    DIRECT: ("hw_veb",),
    "macvtap": ("hw_veb",),
    "direct-physical": ("hostdev_physical",),
    "normal": ("ovs", "bridge"),
}
"""The vif_types that can be served, by vnic_type.

The first three are the mechanism driver sriovnicswitch's, ``ovs`` is openvswitch's and ovn's, ``bridge`` linuxbridge's
(neutron/plugins/ml2/drivers, neutron_lib/api/definitions/portbindings.py).
"""
_PROVIDER_TYPES: Final = ("vlan", "flat")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugging:
    """Where the host's end of a normal port's veth pair belongs: a bridge of the kind that ``vif_type`` means."""

    vif_type: str
    bridge: str


def physical_network_of(network: Network, served: Collection[str], *, vnic_type: str = DIRECT) -> Segment:
    """Return the segment that Neutron will bind a port of the network to, on a host that serves these networks.

    The SR-IOV mechanism driver takes the first segment, in order, whose physical network the host's agent maps;
    it does not ask which one the device is on. So a VF is chosen on this segment's physical network. For a PF
    (direct-physical) it asks no agent, and takes the first vlan or flat segment that there is. Raises NetworkUnusable
    when there is no such segment.
    """
    candidates = [s for s in network.segments if s.network_type in _PROVIDER_TYPES and s.physical_network is not None]
    for segment in candidates[:1] if vnic_type == "direct-physical" else candidates:
        if segment.physical_network in served:
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
    """Return the VLAN (0 for none) of a port that was just bound to a device on the given physical network.

    Neutron answers 200 to a binding that failed, and does not check that the device is on the segment it chose. Raises
    BindingRefused when the port is not bound as its vnic_type asks, or its VLAN is of another physical network.
    """
    if port.vif_type == BINDING_FAILED:
        raise BindingRefused(port.id, port.host, _why_it_failed(port, network, physical_network))
    _verify_pair(port)
    if port.vlan is None:
        raise BindingRefused(
            port.id, port.host, f"Neutron's answer does not say the VLAN (vnic_type {port.vnic_type}, {port.vif_type})"
        )
    if (physical_network, port.vlan) not in {(s.physical_network, s.segmentation_id or 0) for s in network.segments}:
        raise BindingRefused(
            port.id,
            port.host,
            f"Neutron bound it to VLAN {port.vlan}, which the network does not have on {physical_network}, where the "
            f"device is (network {network.id} is on {_told(network)})",
        )
    return port.vlan


def verify_plugging(port: Port) -> Plugging:
    """Return where to plug a normal port that was just bound.

    The VLAN is its L2 agent's business, who takes it from Neutron. Raises BindingRefused when the port is not bound to
    a bridge that a veth can be plugged into.
    """
    if port.vif_type == BINDING_FAILED:
        raise BindingRefused(
            port.id,
            port.host,
            f"no mechanism driver could bind it (vnic_type {port.vnic_type}); there must be an L2 agent, such as the "
            f"'Open vSwitch agent', alive, with host {port.host}, that serves network {port.network_id}: see "
            f"'openstack network agent list --host {port.host}'",
        )
    _verify_pair(port)
    problem = None
    if port.vif_details.get("ovs_hybrid_plug"):
        problem = (
            "the hybrid plug; set firewall_driver = openvswitch (or noop) for the host's neutron-openvswitch-agent"
        )
    elif mode := port.vif_details.get("vhostuser_mode"):
        problem = f"vhostuser_mode {mode}, which is for virtual machines; use an Open vSwitch with the system datapath"
    if problem is not None:
        pair = f"vnic_type {port.vnic_type} with vif_type {port.vif_type}"
        raise BindingRefused(port.id, port.host, f"a container's veth cannot serve {pair} and {problem}")
    usual = "br-int" if port.vif_type == "ovs" else f"brq{port.network_id[:11]}"
    return Plugging(vif_type=port.vif_type, bridge=str(port.vif_details.get("bridge_name") or usual))


def _verify_pair(port: Port) -> None:
    """Raise BindingRefused unless the port's vnic_type and vif_type can be served together."""
    expected = _VIF_TYPES.get(port.vnic_type, ())
    if port.vif_type in expected:
        return
    wanted = f"{' or '.join(expected)} was expected" if expected else "mooring serves no such ports"
    raise BindingRefused(
        port.id, port.host, f"Neutron answered vif_type {port.vif_type} for vnic_type {port.vnic_type}, where {wanted}"
    )


def _why_it_failed(port: Port, network: Network, physical_network: str) -> str:
    failure = (
        f"no mechanism driver could bind it (vnic_type {port.vnic_type}, network {network.id} on {_told(network)}); "
    )
    if port.vnic_type == "direct-physical":
        return failure + "Neutron's ML2 must have the mechanism driver sriovnicswitch, and the network be vlan or flat"
    return failure + (
        f"there must be an agent of type '{AGENT_TYPE}', alive, with host {port.host}, that maps {physical_network}: "
        f"see 'openstack network agent list --host {port.host}'"
    )


def _told(network: Network) -> str:
    return ", ".join(
        f"{s.physical_network or 'no physical network'}:{s.segmentation_id or s.network_type}" for s in network.segments
    )
