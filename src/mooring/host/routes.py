"""Default routes, by rtnetlink."""

from __future__ import annotations

import socket
from typing import Any

from pyroute2.netlink import NLM_F_DUMP
from pyroute2.netlink.rtnl import RTM_GETROUTE
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from mooring.host.netlink import request

_FAMILIES = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}


def default_routes(index: int) -> tuple[str, ...]:
    """Name the default routes, of whatever routing table, that lead over an interface."""
    return tuple(
        f"the {name} default route"
        for family, name in _FAMILIES.items()
        if any(route["dst_len"] == 0 for route in _routes_over(family, index))
    )


def _routes_over(family: int, index: int) -> list[Any]:
    wanted = rtmsg()
    wanted["family"], wanted["attrs"] = family, [("RTA_OIF", index)]  # Linux leaves the others out since 4.20
    return request(RTM_GETROUTE, wanted, NLM_F_DUMP)
