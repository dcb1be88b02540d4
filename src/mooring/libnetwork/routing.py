"""What Docker is told of a port's gateways and routes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog

from mooring.libnetwork.protocol import InterfaceName, JoinReply, StaticRoute
from mooring.neutron.model import IpAddress, Subnet

log = structlog.get_logger(__name__)


def join_reply(*, interface: str, prefix: str, subnets: Sequence[Subnet]) -> JoinReply:
    """Name the interface, the gateways and the routes of a port's own subnets.

    One gateway or next hop that is not on the link fails the container's start (moby osl/route_linux.go), so such
    are left out.
    """
    gateways = {version: _gateway(subnets, version) for version in (4, 6)}
    return JoinReply(
        interface=InterfaceName(source=interface, prefix=prefix),
        gateway=_text(gateways[4]),
        gateway_v6=_text(gateways[6]),
        routes=tuple(_routes(subnets, [version for version, gateway in gateways.items() if gateway])),
    )


def _gateway(subnets: Sequence[Subnet], version: int) -> IpAddress | None:
    for subnet in subnets:
        if subnet.cidr.version != version or subnet.gateway is None:
            continue
        if subnet.gateway in subnet.cidr:
            return subnet.gateway
        log.warning("gateway.not-on-link", subnet=subnet.id, gateway=str(subnet.gateway))
    return None


def _routes(subnets: Sequence[Subnet], with_gateway: Sequence[int]) -> Iterable[StaticRoute]:
    seen = {subnet.cidr for subnet in subnets}
    for route in (route for subnet in subnets for route in subnet.host_routes):
        default_is_known = route.destination.prefixlen == 0 and route.destination.version in with_gateway
        if route.destination in seen or default_is_known:
            continue
        if not any(route.nexthop in subnet.cidr for subnet in subnets):
            log.warning("route.not-on-link", destination=str(route.destination), nexthop=str(route.nexthop))
            continue
        seen.add(route.destination)
        yield StaticRoute(destination=str(route.destination), next_hop=str(route.nexthop))


def _text(address: IpAddress | None) -> str | None:
    return None if address is None else str(address)
