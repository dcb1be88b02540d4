"""Neutron's JSON into the model. Unknown keys are ignored; a needed key that is missing is told with its remedy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from ipaddress import ip_address, ip_network
from typing import Any, Final, TypeVar

from mooring.errors import NeutronRefused
from mooring.neutron.model import (
    UNBOUND,
    Agent,
    EgressLimits,
    FixedIp,
    Network,
    Port,
    Route,
    SecurityGroup,
    Segment,
    Subnet,
    SubnetPool,
)

_T = TypeVar("_T")
_Body = Mapping[str, Any]

_OK: Final = 200
_ROLES: Final = "the account mooring uses needs the roles admin and service"
_REMEDIES: Final = {
    "revision_number": "Neutron must load its service plugin 'revisions'",
    "binding:vif_type": _ROLES,
    "binding:host_id": _ROLES,
    "binding:profile": _ROLES,
    "provider:network_type": _ROLES,
    "provider:physical_network": _ROLES,
    "provider:segmentation_id": _ROLES,
}


def _understood(parse: Callable[[_Body], _T]) -> Callable[[str, Any], _T]:
    """Let a parser take what was being done, and raise NeutronRefused where the answer is not what it should be."""

    @wraps(parse)
    def parser(doing: str, body: Any) -> _T:  # noqa: ANN401 - whatever was answered
        try:
            return parse(body)
        except KeyError as exc:
            key = exc.args[0]
            remedy = _REMEDIES.get(key, "is this the Networking API 2.0?")
            raise NeutronRefused(doing, _OK, f"an answer without {key}; {remedy}") from exc
        except (AttributeError, TypeError, ValueError) as exc:
            raise NeutronRefused(doing, _OK, f"an answer that cannot be understood: {exc}") from exc

    return parser


@_understood
def parse_port(body: _Body) -> Port:
    """Parse a port as the Networking API's ports and port bindings extended attributes show it."""
    # A port whose only binding was deleted has none of these keys; an account without the roles sees one of them.
    has_binding = any(key.startswith("binding:") for key in body)
    details = body.get("binding:vif_details") or {}
    return Port(
        id=body["id"],
        network_id=body["network_id"],
        mac=body["mac_address"].lower(),
        revision=body["revision_number"],
        name=body.get("name") or "",
        description=body.get("description") or "",
        fixed_ips=tuple(
            FixedIp(subnet_id=fixed["subnet_id"], address=ip_address(fixed["ip_address"]))
            for fixed in body.get("fixed_ips") or ()
        ),
        vnic_type=body.get("binding:vnic_type") or "normal",
        vif_type=body["binding:vif_type"] if has_binding else UNBOUND,
        vlan=int(details["vlan"]) if "vlan" in details else None,
        vif_details=dict(details),
        profile=dict(body["binding:profile"] or {}) if has_binding else {},
        host=body["binding:host_id"] or "" if has_binding else "",
        device_id=body.get("device_id") or "",
        device_owner=body.get("device_owner") or "",
        status=body["status"],
        admin_state_up=body.get("admin_state_up", True),
        port_security_enabled=body.get("port_security_enabled", True),
        trusted=body.get("trusted"),
        qos_policy_id=body.get("qos_policy_id") or body.get("qos_network_policy_id"),
        propagate_uplink_status=body.get("propagate_uplink_status"),
        tags=frozenset(body.get("tags") or ()),
        project_id=body.get("project_id") or "",
        security_groups=tuple(body.get("security_groups") or ()),
        numa_policy=body.get("numa_affinity_policy"),
    )


@_understood
def parse_network(body: _Body) -> Network:
    """Parse a network. A multi-provider network lists ``segments``; any other has its own ``provider:`` keys."""
    return Network(
        id=body["id"],
        name=body.get("name") or "",
        mtu=body["mtu"],
        segments=tuple(
            Segment(
                network_type=segment["provider:network_type"],
                physical_network=segment["provider:physical_network"],
                segmentation_id=segment["provider:segmentation_id"],
            )
            for segment in body.get("segments") or (body,)
        ),
        shared=body.get("shared", False),
        tags=frozenset(body.get("tags") or ()),
        project_id=body.get("project_id") or "",
        is_external=body.get("router:external", False),
        created_at=body.get("created_at") or "",
    )


@_understood
def parse_security_group(body: _Body) -> SecurityGroup:
    """Parse a security group; its rules are not ours."""
    return SecurityGroup(id=body["id"], name=body.get("name") or "", project_id=body.get("project_id") or "")


@_understood
def parse_subnet(body: _Body) -> Subnet:
    """Parse a subnet."""
    gateway = body.get("gateway_ip")
    return Subnet(
        id=body["id"],
        network_id=body["network_id"],
        name=body.get("name") or "",
        cidr=ip_network(body["cidr"]),
        gateway=ip_address(gateway) if gateway else None,
        description=body.get("description") or "",
        subnetpool_id=body.get("subnetpool_id"),
        host_routes=tuple(
            Route(destination=ip_network(route["destination"]), nexthop=ip_address(route["nexthop"]))
            for route in body.get("host_routes") or ()
        ),
        tags=frozenset(body.get("tags") or ()),
    )


@_understood
def parse_subnetpool(body: _Body) -> SubnetPool:
    """Parse a subnet pool."""
    return SubnetPool(
        id=body["id"],
        name=body.get("name") or "",
        prefixes=tuple(ip_network(prefix) for prefix in body["prefixes"]),
        shared=body.get("shared", False),
        tags=frozenset(body.get("tags") or ()),
    )


@_understood
def parse_agent(body: _Body) -> Agent:
    """Parse a row of the agent table."""
    return Agent(
        agent_type=body["agent_type"],
        host=body["host"],
        alive=body["alive"],
        configurations=dict(body.get("configurations") or {}),
    )


@_understood
def parse_egress_limits(body: _Body) -> EgressLimits:
    """Parse a QoS policy. A maximum of 0 kbit/s is none, as neutron's own SR-IOV agent reads it."""
    rules = [rule for rule in body["rules"] if rule.get("direction") in (None, "egress")]
    most = [rule["max_kbps"] for rule in rules if rule["type"] == "bandwidth_limit"]
    least = [rule["min_kbps"] for rule in rules if rule["type"] == "minimum_bandwidth"]
    return EgressLimits(
        max_kbps=min(filter(None, most), default=0), min_kbps=max(least, default=0), revision=body["revision_number"]
    )
