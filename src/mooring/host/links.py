"""Network interfaces of the daemon's namespace, by rtnetlink: read, rename, set."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pyroute2.netlink import NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST
from pyroute2.netlink.rtnl import RTM_GETADDR, RTM_GETLINK, RTM_SETLINK
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import IFF_ALLMULTI, IFF_PROMISC, IFF_UP, ifinfmsg

from mooring.host.failures import NetlinkError
from mooring.host.kernel import Netdev, VfSettings
from mooring.host.netlink import request, request_undecoded
from mooring.host.vf_info import VfAttribute, parse_vf, vf_change, vf_entries

# Linux (seen with 6.12) asks for the whole struct ifla_vf_vlan_info, with the two bytes at its end that pyroute2 omits.
ifinfmsg.vflist.vfinfo.vf_vlist.ivvi.fields += (("padding", "H"),)

_ATTRIBUTES_BEGIN = 32  # after nlmsghdr and ifinfomsg
_VFS_WITHOUT_STATISTICS = 1 | 8  # RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS: mlx5 asks its firmware for each VF's


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An interface and the device it belongs to (IFLA_PARENT_DEV_NAME, None before Linux 5.14)."""

    netdev: Netdev
    parent: str | None


def read_link(which: str | int) -> Link:
    """Read the interface with this name or index; raise NetlinkError (ENODEV) when there is none."""
    wanted = _link(which) if isinstance(which, int) else _link(0, IFLA_IFNAME=which)
    (found,) = request(RTM_GETLINK, wanted)
    attributes = {attribute[0]: attribute for attribute in found["attrs"]}  # each is decoded when it is looked into

    def value(name: str) -> Any:  # noqa: ANN401
        return attributes[name][1] if name in attributes else None

    netdev = Netdev(
        name=value("IFLA_IFNAME"),
        index=found["index"],
        mac=value("IFLA_ADDRESS") or "",
        mtu=value("IFLA_MTU"),
        up=bool(found["flags"] & IFF_UP),
        carrier=value("IFLA_CARRIER") == 1,
    )
    return Link(netdev=netdev, parent=value("IFLA_PARENT_DEV_NAME"))


class PfInterface:
    """A PF's interface as the door to the settings of its VFs (mooring.host.settings.PfSide)."""

    def __init__(self, name: str) -> None:
        self._index = index_of(name)

    def read(self) -> Mapping[int, VfSettings]:
        """Return what the PF holds for each VF, by VF index."""
        answer = self._ask()
        return {index: parse_vf(answer, *place) for index, place in vf_entries(answer, _ATTRIBUTES_BEGIN).items()}

    def read_one(self, vf_index: int) -> VfSettings | None:
        """Return what the PF holds for a VF, or None when it has no such VF."""
        answer = self._ask()
        place = vf_entries(answer, _ATTRIBUTES_BEGIN).get(vf_index)
        return parse_vf(answer, *place) if place else None

    def write(self, vf_index: int, kind: VfAttribute, wanted: VfSettings) -> None:
        """Set one attribute of a VF; one per message, because a message with several may fail half done."""
        change = {"attrs": [("IFLA_VF_INFO", {"attrs": [vf_change(vf_index, kind, wanted)]})]}
        _change(_link(self._index, IFLA_VFINFO_LIST=change))

    def _ask(self) -> bytes:
        return request_undecoded(_vf_list_request(self._index))


def index_of(name: str) -> int:
    """Return an interface's index; raise NetlinkError (ENODEV) when there is none."""
    try:
        return socket.if_nametoindex(name)
    except OSError as exc:  # which tells no errno
        raise NetlinkError(errno.ENODEV) from exc


def rename(index: int, name: str) -> None:
    """Give the interface a name and make it idle. Linux before 6.2 says EBUSY while it is up."""
    _change(_idle(index, IFLA_IFNAME=name))


def set_mac(index: int, mac: str) -> None:
    """Set the interface's own MAC address."""
    _change(_link(index, IFLA_ADDRESS=mac))


def set_mtu(index: int, mtu: int) -> None:
    """Set the MTU in bytes."""
    _change(_link(index, IFLA_MTU=mtu))


def set_up(index: int, *, up: bool) -> None:
    """Set the interface administratively up or down."""
    message = _link(index)
    message["flags"], message["change"] = IFF_UP if up else 0, IFF_UP
    _change(message)


def set_idle(index: int) -> None:
    """Take the interface down, out of promiscuous and out of all-multicast mode."""
    _change(_idle(index))


def read_addresses(index: int) -> tuple[str, ...]:
    """Return the interface's IP addresses, link-local ones left out."""
    wanted = ifaddrmsg()
    wanted["index"] = index
    listed = [address for address in request(RTM_GETADDR, wanted, NLM_F_DUMP) if address["index"] == index]
    # On a point-to-point interface IFA_ADDRESS is the peer's.
    found = [address.get_attr("IFA_LOCAL") or address.get_attr("IFA_ADDRESS") for address in listed]
    return tuple(address for address in found if not ipaddress.ip_address(address).is_link_local)


def _change(message: Any) -> None:  # noqa: ANN401
    request(RTM_SETLINK, message, NLM_F_ACK)


def _link(index: int, **attributes: Any) -> Any:  # noqa: ANN401
    message = ifinfmsg()
    message["index"] = index
    message["attrs"] = list(attributes.items())
    return message


def _idle(index: int, **attributes: Any) -> Any:  # noqa: ANN401
    message = _link(index, **attributes)
    message["flags"], message["change"] = 0, IFF_UP | IFF_PROMISC | IFF_ALLMULTI
    return message


@cache  # to encode it takes as long as to ask; there are as many as PFs
def _vf_list_request(index: int) -> bytes:
    message = _link(index, IFLA_EXT_MASK=_VFS_WITHOUT_STATISTICS)
    message["header"]["type"], message["header"]["flags"] = RTM_GETLINK, NLM_F_REQUEST
    message.encode()
    return bytes(message.data)
