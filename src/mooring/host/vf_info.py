"""What a PF holds for its VFs, as rtnetlink carries it (IFLA_VFINFO_LIST, Linux include/uapi/linux/if_link.h).

Reading is our own decoder: pyroute2's follows the length of the list, which wraps on large cards, and takes 14 times as
long. Writing is pyroute2's: here is only what goes into its messages.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache
from itertools import islice
from typing import Any

from mooring.host.failures import NetlinkError
from mooring.host.kernel import LinkState, VfCounters, VfSettings

IFLA_NUM_VF, IFLA_VFINFO_LIST = 21, 22
_IFLA_VF_INFO = 1
_IFLA_VF_STATS = 8
_KIND_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_SERVICE_TAG = 0x88A8  # ETH_P_8021AD
_UNKNOWN = 0xFFFFFFFF  # -1: the driver does not report it

_ATTRIBUTE = struct.Struct("=HH")
_ONE, _TWO, _THREE, _COUNT = (struct.Struct(layout) for layout in ("=I", "=II", "=III", "=Q"))
_VLAN_INFO = struct.Struct("=III2s")
_LINK_STATES = (LinkState.AUTO, LinkState.ENABLE, LinkState.DISABLE)
COUNTING_DRIVERS = frozenset({"mlx5_core", "mlx4_core", "ice", "i40e", "ixgbe"})
"""PF drivers that count for their VFs: those with ndo_get_vf_stats (Linux drivers/net/ethernet/{mellanox,intel}).

For all others, igb among them, Linux sends the same attribute, full of zeros (rtnl_fill_vfinfo).
"""

# enum of IFLA_VF_STATS_*; its first is 0, and 6 is padding
_COUNTERS = {
    0: "rx_packets",
    1: "tx_packets",
    2: "rx_bytes",
    3: "tx_bytes",
    4: "broadcast",
    5: "multicast",
    7: "rx_dropped",
    8: "tx_dropped",
}


class VfAttribute(IntEnum):
    """The attributes of a VF that mooring reads and writes. Each begins with the VF's index, 32 bits."""

    MAC = 1
    VLAN = 2
    TX_RATE = 3
    SPOOF_CHECK = 4
    LINK_STATE = 5
    RATE = 6
    TRUST = 9
    VLAN_LIST = 12


def vf_entries(data: bytes, start: int) -> dict[int, bytes]:
    """Return the VFs of a link message whose attributes begin at ``start``: each one's attributes, by VF index.

    The list is walked by the number of VFs (IFLA_NUM_VF), not by its own length: that has 16 bits and wraps above
    334 VFs, while the kernel still sends every entry. Raises NetlinkError (EMSGSIZE) when entries are missing.
    """
    count = 0
    entries: dict[int, bytes] = {}
    for kind, begin, _ in attributes(data, start):
        if kind == IFLA_NUM_VF:
            (count,) = _ONE.unpack_from(data, begin)
        elif kind == IFLA_VFINFO_LIST:
            for entry, entry_begin, entry_end in islice(attributes(data, begin), count):
                if entry == _IFLA_VF_INFO and entry_end <= len(data):
                    # Every attribute of a VF begins with the VF's index, so the first one does.
                    entries[_ONE.unpack_from(data, entry_begin + 4)[0]] = data[entry_begin:entry_end]
            break
    if len(entries) != count:
        raise NetlinkError(errno.EMSGSIZE, f"the kernel counts {count} VFs but lists {len(entries)}")
    return entries


@lru_cache(maxsize=4096)  # most VFs are as they were at the last look
def parse_vf(entry: bytes) -> VfSettings:
    """Read what the PF holds for the VF with these attributes."""
    found = _places(entry)
    mac = found[VfAttribute.MAC]
    _, vlan, qos = _THREE.unpack_from(entry, found[VfAttribute.VLAN])
    min_rate, max_rate = _rates(entry, found)
    return VfSettings(
        mac=entry[mac + 4 : mac + 10].hex(":"),
        vlan=vlan,
        qos=qos,
        service_tag=_has_service_tag(entry, found.get(VfAttribute.VLAN_LIST)),
        spoof_check=_switch(entry, found.get(VfAttribute.SPOOF_CHECK)),
        trust=_switch(entry, found.get(VfAttribute.TRUST)),
        min_tx_rate=min_rate,
        max_tx_rate=max_rate,
        link_state=_LINK_STATES[_number(entry, found.get(VfAttribute.LINK_STATE)) or 0],
    )


def parse_counters(entry: bytes) -> VfCounters | None:
    """Read the counters of the VF with these attributes, None where the kernel sent none."""
    for kind, begin, end in attributes(entry):
        if kind == _IFLA_VF_STATS:
            counted = entry[begin:end]
            found = _places(counted)
            return VfCounters(
                **{
                    name: _COUNT.unpack_from(counted, found[place])[0]
                    for place, name in _COUNTERS.items()
                    if place in found
                }
            )
    return None


def _places(data: bytes) -> dict[int, int]:
    """Find where each attribute's payload begins."""
    return {kind: begin for kind, begin, _ in attributes(data)}


def _rates(data: bytes, found: dict[int, int]) -> tuple[int, int]:
    if place := found.get(VfAttribute.RATE):
        _, least, most = _THREE.unpack_from(data, place)
        return least, most
    return 0, _number(data, found.get(VfAttribute.TX_RATE)) or 0


def _has_service_tag(data: bytes, vlan_list: int | None) -> bool:
    if vlan_list is None:
        return False
    protocol: bytes = _VLAN_INFO.unpack_from(data, vlan_list + _ATTRIBUTE.size)[3]  # of the first one listed
    return int.from_bytes(protocol, "big") == _SERVICE_TAG


def _number(data: bytes, place: int | None) -> int | None:
    """Return the number of an attribute that holds a VF's index and one number."""
    return None if place is None else _TWO.unpack_from(data, place)[1]


def _switch(data: bytes, place: int | None) -> bool | None:
    value = _number(data, place)
    return None if value is None or value == _UNKNOWN else value != 0


def attributes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int, int]]:
    """Walk the attributes of ``data[start:end]``: kind, and where the payload begins and ends.

    Offsets instead of slices: a list of VFs is walked beyond the end that it tells.
    """
    end = len(data) if end is None else end
    while start + _ATTRIBUTE.size <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        yield kind & _KIND_MASK, start + _ATTRIBUTE.size, start + length
        if length < _ATTRIBUTE.size:
            return
        start += length + 3 & ~3


def vf_change(index: int, kind: VfAttribute, wanted: VfSettings) -> tuple[str, dict[str, Any]]:
    """Return the one attribute of ``wanted``, for the VF with this index, as pyroute2 takes it (and alters it)."""
    values: dict[str, Any]
    match kind:
        case VfAttribute.MAC:
            name, values = "IFLA_VF_MAC", {"mac": wanted.mac}
        case VfAttribute.VLAN if wanted.service_tag:
            tag = {"vf": index, "vlan": wanted.vlan, "qos": wanted.qos, "proto": _SERVICE_TAG}
            return "IFLA_VF_VLAN_LIST", {"attrs": [("IFLA_VF_VLAN_INFO", tag)]}
        case VfAttribute.VLAN:
            name, values = "IFLA_VF_VLAN", {"vlan": wanted.vlan, "qos": wanted.qos}
        case VfAttribute.RATE:
            values = {"min_tx_rate": wanted.min_tx_rate, "max_tx_rate": wanted.max_tx_rate}
            name = "IFLA_VF_RATE"
        case VfAttribute.LINK_STATE:
            name, values = "IFLA_VF_LINK_STATE", {"link_state": _LINK_STATES.index(wanted.link_state)}
        case VfAttribute.SPOOF_CHECK:
            name, values = "IFLA_VF_SPOOFCHK", {"spoofchk": int(bool(wanted.spoof_check))}
        case VfAttribute.TRUST:
            name, values = "IFLA_VF_TRUST", {"trust": int(bool(wanted.trust))}
        case _:
            raise ValueError(f"{kind.name} is only read")
    return name, {"vf": index, **values}
