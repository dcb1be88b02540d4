"""The mechanism drivers of the Neutron in memory: who binds which port, and to what.

As ML2's sriovnicswitch, openvswitch and linuxbridge were seen to answer (neutron/plugins/ml2/drivers).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mooring.neutron.api import AGENT_TYPE

OVS_AGENT: Final = "Open vSwitch agent"
BRIDGE_AGENT: Final = "Linux bridge agent"

_TUNNELS: Final = ("vxlan", "gre", "geneve")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The outcome of a binding, by the API's words."""

    vif_type: str
    vif_details: Mapping[str, object] = field(default_factory=dict)
    status: str = "DOWN"


FAILED: Final = Bound(vif_type="binding_failed")


def bind(port: Row, network: Row, agents: Iterable[Row]) -> Bound:
    """Return how a port binds on the host it names, to a network, given the rows of the agent table."""
    alive = {row["agent_type"]: row for row in agents if row["host"] == port["binding:host_id"] and row["alive"]}
    match port["binding:vnic_type"]:
        case "direct" | "macvtap":
            return _to_a_vf(port, network, alive.get(AGENT_TYPE))
        case "direct-physical":
            return _to_a_pf(network)
        case "normal":
            return _to_a_bridge(network, alive)
        case _:
            return FAILED


def _to_a_vf(port: Row, network: Row, agent: Row | None) -> Bound:
    if agent is None or "switchdev" in port["binding:profile"].get("capabilities", ()):
        return FAILED
    for segment in _segments(network):
        if segment["provider:physical_network"] in agent["configurations"]["device_mappings"]:
            return Bound(vif_type="hw_veb", vif_details=_details(segment))
    return FAILED


def _to_a_pf(network: Row) -> Bound:
    """Bind without asking any agent: nobody will report the device, so the port is ACTIVE at once."""
    for segment in _segments(network):
        return Bound(vif_type="hostdev_physical", vif_details=_details(segment), status="ACTIVE")
    return FAILED


def _to_a_bridge(network: Row, alive: Mapping[str, Row]) -> Bound:
    if (agent := alive.get(OVS_AGENT)) is not None and _reaches(agent, network):
        details = {
            "port_filter": True,
            "connectivity": "l2",
            "ovs_hybrid_plug": agent["configurations"]["ovs_hybrid_plug"],
            "datapath_type": "system",
            "bridge_name": agent["configurations"]["integration_bridge"],
        }
        return Bound(vif_type="ovs", vif_details=details)
    if (agent := alive.get(BRIDGE_AGENT)) is not None and _reaches(agent, network):
        return Bound(vif_type="bridge", vif_details={"port_filter": True, "connectivity": "l2"})
    return FAILED


def _reaches(agent: Row, network: Row) -> bool:
    mapped = agent["configurations"]["bridge_mappings"]
    return any(
        segment["provider:network_type"] in _TUNNELS or segment["provider:physical_network"] in mapped
        for segment in network.get("segments") or [network]
    )


def _segments(network: Row) -> Iterator[Row]:
    """Yield the segments that a network adapter can be on."""
    for segment in network.get("segments") or [network]:
        if segment["provider:network_type"] in ("vlan", "flat"):
            yield segment


def _details(segment: Row) -> Mapping[str, object]:
    return {"port_filter": False, "connectivity": "l2", "vlan": str(segment["provider:segmentation_id"] or 0)}
