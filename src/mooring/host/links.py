"""Network interfaces of the daemon's namespace, by rtnetlink: read, rename, set, make and delete."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST
from pyroute2.netlink.rtnl import (
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELLINKPROP,
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_NEWLINK,
    RTM_SETLINK,
)
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import IFF_ALLMULTI, IFF_PROMISC, IFF_UP, ifinfmsg

from mooring.host.failures import NetlinkError
from mooring.host.kernel import Netdev, VfCounters, VfSettings
from mooring.host.netlink import Message, request, request_undecoded
from mooring.host.vf_info import VfAttribute, attributes, parse_counters, parse_vf, vf_change, vf_entries

# Linux (seen with 6.12) asks for the whole struct ifla_vf_vlan_info, with the two bytes at its end that pyroute2 omits.
ifinfmsg.vflist.vfinfo.vf_vlist.ivvi.fields += (("padding", "H"),)

Attributes = Iterable[tuple[str, Any]]
"""Netlink attributes by pyroute2's names."""

_LINK = struct.Struct("=IHHIIBBHiII")  # nlmsghdr, then ifinfomsg: family, padding, type, index, flags, change
_EXTENSIONS = struct.Struct("=HHI")
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO = 1, 3, 4, 18
_IFLA_EXT_MASK, _IFLA_PROMISCUITY, _IFLA_CARRIER = 29, 30, 33
_IFLA_INFO_KIND = 1
_VFS, _SKIP_STATISTICS = 1, 8  # RTEXT_FILTER_VF, RTEXT_FILTER_SKIP_STATS


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An interface, and what more rtnetlink tells of it.

    ``kind`` is a virtual interface's: veth, bridge, macvtap. ``hears_all`` says that somebody made it promiscuous: a
    program, or an interface above it, in whatever namespace that may be.
    """

    netdev: Netdev
    kind: str | None = None
    hears_all: bool = False


def read_link(which: str | int) -> Link:
    """Read the interface with this name or index; raise NetlinkError (ENODEV) when there is none.

    It is asked all the time, and pyroute2's decoder takes longer than all the rest together.
    """
    answer = _ask(which if isinstance(which, int) else index_of(which), _SKIP_STATISTICS)
    found = _parse(answer, _LINK.size)
    info = _parse(found.get(_IFLA_LINKINFO, b""))
    *_, index, flags, _ = _LINK.unpack_from(answer)
    netdev = Netdev(
        name=_text(found[_IFLA_IFNAME]),
        index=index,
        mac=found.get(_IFLA_ADDRESS, b"").hex(":"),
        mtu=int.from_bytes(found[_IFLA_MTU], sys.byteorder),
        up=bool(flags & IFF_UP),
        carrier=found.get(_IFLA_CARRIER) == b"\1",
    )
    kind = _text(info[_IFLA_INFO_KIND]) if _IFLA_INFO_KIND in info else None
    return Link(netdev=netdev, kind=kind, hears_all=any(found.get(_IFLA_PROMISCUITY, b"")))


def _parse(data: bytes, start: int = 0) -> dict[int, bytes]:
    return {kind: data[begin:end] for kind, begin, end in attributes(data, start)}


def _text(payload: bytes) -> str:
    return payload.rstrip(b"\0").decode()


class PfInterface:
    """A PF's interface as the door to the settings of its VFs (mooring.host.settings.PfSide)."""

    def __init__(self, index: int) -> None:
        self._index = index

    def read(self) -> Mapping[int, VfSettings]:
        """Return what the PF holds for each VF, by VF index."""
        return {index: parse_vf(entry) for index, entry in self._vfs().items()}

    def read_one(self, vf_index: int) -> VfSettings | None:
        """Return what the PF holds for a VF, or None when it has no such VF."""
        entry = self._vfs().get(vf_index)
        return parse_vf(entry) if entry else None

    def read_counters(self) -> Mapping[int, VfCounters]:
        """Return what the PF counted for each VF, by VF index. Not for every look: mlx5 asks its firmware for each."""
        counted = {index: parse_counters(entry) for index, entry in self._vfs(_VFS).items()}
        return {index: counters for index, counters in counted.items() if counters}

    def write(self, vf_index: int, kind: VfAttribute, wanted: VfSettings) -> None:
        """Set one attribute of a VF; one per message, because a message with several may fail half done."""
        change = {"attrs": [("IFLA_VF_INFO", {"attrs": [vf_change(vf_index, kind, wanted)]})]}
        _change(_link(self._index, IFLA_VFINFO_LIST=change))

    def _vfs(self, extensions: int = _VFS | _SKIP_STATISTICS) -> Mapping[int, bytes]:
        return vf_entries(_ask(self._index, extensions), _LINK.size)


def index_of(name: str) -> int:
    """Return an interface's index; raise NetlinkError (ENODEV) when there is none."""
    try:
        return socket.if_nametoindex(name)
    except OSError as exc:  # which tells no errno
        raise NetlinkError(errno.ENODEV) from exc


def rename(index: int, name: str) -> None:
    """Give the interface a name and make it idle. Linux before 6.2 says EBUSY while it is up.

    A name that udev has made an alternative one of the same interface is taken, too, until it is none any more.
    """
    try:
        _change(_idle(index, IFLA_IFNAME=name))
    except NetlinkError as exc:
        if exc.errno != errno.EEXIST or index_of(name) != index:
            raise
        alternative = {"attrs": [("IFLA_ALT_IFNAME", name)]}
        request(RTM_DELLINKPROP, _link(index, IFLA_PROP_LIST=alternative), NLM_F_ACK)
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


def create(kind: str, name: str, data: Attributes = (), *, up: bool = False, **attributes: object) -> None:
    """Make a virtual interface; ``data`` is what its kind alone knows."""
    info = [("IFLA_INFO_KIND", kind), ("IFLA_INFO_DATA", {"attrs": list(data)})]
    message = _link(0, IFLA_IFNAME=name, **attributes, IFLA_LINKINFO={"attrs": info})
    message["flags"], message["change"] = IFF_UP if up else 0, IFF_UP
    request(RTM_NEWLINK, message, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)


def delete(index: int) -> None:
    """Delete a virtual interface."""
    request(RTM_DELLINK, _link(index), NLM_F_ACK)


def set_master(index: int, master: int) -> None:
    """Make the interface a port of the bridge with this index."""
    _change(_link(index, IFLA_MASTER=master))


def read_addresses(index: int) -> tuple[str, ...]:
    """Return the interface's IP addresses, link-local ones left out."""
    return tuple(address for listed in _addresses(index) if (address := _routable(listed)))


def remove_addresses(index: int) -> None:
    """Take the interface's IP addresses from it, but the link-local ones."""
    # Anew each time: the first address of a network takes the others along.
    while listed := next(filter(_routable, _addresses(index)), None):
        wanted = ifaddrmsg()
        for field in ("family", "prefixlen", "index"):
            wanted[field] = listed[field]
        names = ("IFA_LOCAL", "IFA_ADDRESS")
        wanted["attrs"] = [(name, value) for name in names if (value := listed.get_attr(name))]
        request(RTM_DELADDR, wanted, NLM_F_ACK)


def _addresses(index: int) -> list[Message]:
    wanted = ifaddrmsg()
    wanted["index"] = index
    return [address for address in request(RTM_GETADDR, wanted, NLM_F_DUMP) if address["index"] == index]


def _routable(listed: Message) -> str | None:
    """Return the address, unless it is link-local. On a point-to-point interface IFA_ADDRESS is the peer's."""
    address: str = listed.get_attr("IFA_LOCAL") or listed.get_attr("IFA_ADDRESS")
    return None if ipaddress.ip_address(address).is_link_local else address


def _change(message: Message) -> None:
    request(RTM_SETLINK, message, NLM_F_ACK)


def _link(index: int, **attributes: object) -> Message:
    message = ifinfmsg()
    message["index"] = index
    message["attrs"] = list(attributes.items())
    return message


def _idle(index: int, **attributes: object) -> Message:
    message = _link(index, **attributes)
    message["flags"], message["change"] = 0, IFF_UP | IFF_PROMISC | IFF_ALLMULTI
    return message


def _ask(index: int, extensions: int) -> bytes:
    extended = _EXTENSIONS.pack(_EXTENSIONS.size, _IFLA_EXT_MASK, extensions)
    size = _LINK.size + len(extended)
    return request_undecoded(_LINK.pack(size, RTM_GETLINK, NLM_F_REQUEST, 0, 0, 0, 0, 0, index, 0, 0) + extended)
