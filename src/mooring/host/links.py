"""Network interfaces of the daemon's namespace, by rtnetlink: read, rename, set."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from mooring.host.failures import NetlinkError
from mooring.host.kernel import Netdev, VfSettings
from mooring.host.netlink import attribute, attributes, dump, request, text
from mooring.host.vf_info import VfAttribute, encode_vf_attribute, parse_vf, vf_entries

_RTM_GETLINK, _RTM_SETLINK, _RTM_GETADDR = 18, 19, 22
_ADDRESS, _NAME, _MTU, _EXT_MASK, _CARRIER, _PARENT_DEV_NAME = 1, 3, 4, 29, 33, 56
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_VFS_WITHOUT_STATISTICS = 1 | 8  # RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS: mlx5 asks its firmware for each VF's
_UP, _PROMISCUOUS, _ALL_MULTICAST = 0x1, 0x100, 0x200

_LINK = struct.Struct("=BxHiII")
_ADDR = struct.Struct("=BBBBi")
_NUMBER = struct.Struct("=I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An interface and the device it belongs to (IFLA_PARENT_DEV_NAME, None before Linux 5.14)."""

    netdev: Netdev
    parent: str | None


def read_link(which: str | int) -> Link:
    """Read the interface with this name or index; raise NetlinkError (ENODEV) when there is none."""
    (body,) = request(_RTM_GETLINK, _identify(which))
    return parse_link(body)


class PfInterface:
    """A PF's interface as the door to the settings of its VFs (mooring.host.settings.PfSide)."""

    def __init__(self, name: str) -> None:
        self._index = index_of(name)

    def read(self) -> Mapping[int, VfSettings]:
        """Return what the PF holds for each VF, by VF index."""
        body = self._ask()
        return {index: parse_vf(body, *place) for index, place in vf_entries(body, _LINK.size).items()}

    def read_one(self, vf_index: int) -> VfSettings | None:
        """Return what the PF holds for a VF, or None when it has no such VF."""
        body = self._ask()
        place = vf_entries(body, _LINK.size).get(vf_index)
        return parse_vf(body, *place) if place else None

    def write(self, vf_index: int, kind: VfAttribute, wanted: VfSettings) -> None:
        """Set one attribute of a VF; one per message, because a message with several may fail half done."""
        request(_RTM_SETLINK, _identify(self._index) + encode_vf_attribute(vf_index, kind, wanted))

    def _ask(self) -> bytes:
        mask = attribute(_EXT_MASK, _NUMBER.pack(_VFS_WITHOUT_STATISTICS))
        (body,) = request(_RTM_GETLINK, _identify(self._index) + mask)
        return body


def index_of(name: str) -> int:
    """Return an interface's index; raise NetlinkError (ENODEV) when there is none."""
    try:
        return socket.if_nametoindex(name)
    except OSError as exc:  # which tells no errno
        raise NetlinkError(errno.ENODEV) from exc


def rename(index: int, name: str) -> None:
    """Give the interface a name."""
    request(_RTM_SETLINK, _identify(index) + attribute(_NAME, name.encode() + b"\0"))


def set_mac(index: int, mac: str) -> None:
    """Set the interface's own MAC address."""
    request(_RTM_SETLINK, _identify(index) + attribute(_ADDRESS, bytes.fromhex(mac.replace(":", ""))))


def set_mtu(index: int, mtu: int) -> None:
    """Set the MTU in bytes."""
    request(_RTM_SETLINK, _identify(index) + attribute(_MTU, _NUMBER.pack(mtu)))


def set_up(index: int, *, up: bool) -> None:
    """Set the interface administratively up or down."""
    request(_RTM_SETLINK, _LINK.pack(0, 0, index, _UP if up else 0, _UP))


def set_idle(index: int) -> None:
    """Take the interface down, out of promiscuous and out of all-multicast mode."""
    request(_RTM_SETLINK, _LINK.pack(0, 0, index, 0, _UP | _PROMISCUOUS | _ALL_MULTICAST))


def read_addresses(index: int) -> tuple[str, ...]:
    """Return the interface's IP addresses, link-local ones left out."""
    found = []
    for body in dump(_RTM_GETADDR, _ADDR.pack(0, 0, 0, 0, index)):
        packed = {kind: body[begin:end] for kind, begin, end in attributes(body, _ADDR.size)}
        # On a point-to-point interface IFA_ADDRESS is the peer's.
        address = ipaddress.ip_address(packed.get(_IFA_LOCAL) or packed[_IFA_ADDRESS])
        if _ADDR.unpack_from(body)[4] == index and not address.is_link_local:
            found.append(str(address))
    return tuple(found)


def parse_link(body: bytes) -> Link:
    """Decode a link message (ifinfomsg and its attributes)."""
    _, _, index, flags, _ = _LINK.unpack_from(body)
    at = {kind: (begin, end) for kind, begin, end in attributes(body, _LINK.size)}
    mac_begin, mac_end = at.get(_ADDRESS, (0, 0))
    netdev = Netdev(
        name=text(body, *at[_NAME]),
        index=index,
        mac=body[mac_begin:mac_end].hex(":"),
        mtu=_NUMBER.unpack_from(body, at[_MTU][0])[0],
        up=bool(flags & _UP),
        carrier=_CARRIER in at and body[at[_CARRIER][0]] == 1,
    )
    return Link(netdev=netdev, parent=text(body, *at[_PARENT_DEV_NAME]) if _PARENT_DEV_NAME in at else None)


def _identify(which: str | int) -> bytes:
    if isinstance(which, int):
        return _LINK.pack(0, 0, which, 0, 0)
    return _LINK.pack(0, 0, 0, 0, 0) + attribute(_NAME, which.encode() + b"\0")
