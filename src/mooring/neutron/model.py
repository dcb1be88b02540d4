"""Neutron's objects as mooring reads them: frozen, parsed once where they enter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

IpAddress: TypeAlias = IPv4Address | IPv6Address
IpNetwork: TypeAlias = IPv4Network | IPv6Network

DIRECT = "direct"
"""The vnic_type of a port that takes a VF of its own."""
ACTIVE = "ACTIVE"
"""The status of a port whose device is up."""
UNBOUND = "unbound"
BINDING_FAILED = "binding_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedIp:
    """One address of a port."""

    subnet_id: str
    address: IpAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A Neutron port with its binding (API reference: ports, port bindings extended attributes).

    ``vlan`` is ``binding:vif_details.vlan`` as a number, None where the binding does not say. ``profile`` is
    ``binding:profile``, free-form JSON, ``vif_details`` all of ``binding:vif_details``. ``revision`` is what
    ``If-Match`` compares. ``mac`` is lower case. ``qos_policy_id`` is the port's own policy, else its network's; an
    edit of the policy's rules does not change the port. ``propagate_uplink_status`` is None where the cloud lacks the
    extension uplink-status-propagation. ``numa_policy`` is ``numa_affinity_policy`` as Nova names it, where it is set.
    """

    id: str
    network_id: str
    mac: str
    revision: int
    name: str = ""
    description: str = ""
    fixed_ips: tuple[FixedIp, ...] = ()
    vnic_type: str = "normal"
    vif_type: str = UNBOUND
    vlan: int | None = None
    vif_details: Mapping[str, object] = field(default_factory=dict)
    profile: Mapping[str, object] = field(default_factory=dict)
    host: str = ""
    device_id: str = ""
    device_owner: str = ""
    status: str = "DOWN"
    admin_state_up: bool = True
    port_security_enabled: bool = True
    trusted: bool | None = None
    qos_policy_id: str | None = None
    propagate_uplink_status: bool | None = None
    tags: frozenset[str] = frozenset()
    project_id: str = ""
    security_groups: tuple[str, ...] = ()
    numa_policy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressLimits:
    """What a QoS policy says of the traffic that leaves a port, in kbit/s (1000 bit); 0 is no limit, or no guarantee.

    ``revision`` is the policy's, which every edit of one of its rules raises, and 0 where there is no policy.
    """

    max_kbps: int = 0
    min_kbps: int = 0
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One way a network is realised. ``segmentation_id`` is the VLAN id, None on a flat network."""

    network_type: str
    physical_network: str | None
    segmentation_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A Neutron network. ``segments`` has one entry unless the network is a multi-provider one; ``mtu`` in bytes.

    ``shared`` with everybody; what is shared with some projects only is not told. ``created_at`` is ISO 8601 text,
    empty where the cloud lacks the extension standard-attr-timestamp.
    """

    id: str
    name: str
    mtu: int
    segments: tuple[Segment, ...]
    shared: bool = False
    tags: frozenset[str] = frozenset()
    project_id: str = ""
    is_external: bool = False
    created_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroup:
    """A group of rules for the traffic of ports."""

    id: str
    name: str
    project_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A host route that a subnet hands to its ports."""

    destination: IpNetwork
    nexthop: IpAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet:
    """A Neutron subnet. ``gateway`` is None where the subnet has none."""

    id: str
    network_id: str
    name: str
    cidr: IpNetwork
    gateway: IpAddress | None
    description: str = ""
    subnetpool_id: str | None = None
    host_routes: tuple[Route, ...] = ()
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetPool:
    """A pool of prefixes that subnets are cut from."""

    id: str
    name: str
    prefixes: tuple[IpNetwork, ...]
    shared: bool = False
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A row of Neutron's agent table. ``configurations`` is what the agent says of itself."""

    agent_type: str
    host: str
    alive: bool
    configurations: Mapping[str, object]
