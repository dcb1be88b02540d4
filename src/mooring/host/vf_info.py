"""What a PF holds for its VFs, as rtnetlink carries it (IFLA_VFINFO_LIST, Linux include/uapi/linux/if_link.h)."""

from __future__ import annotations

import errno
import struct
from enum import IntEnum
from itertools import islice

from mooring.host.failures import NetlinkError
from mooring.host.kernel import LinkState, VfSettings
from mooring.host.netlink import attribute, attributes

IFLA_NUM_VF, IFLA_VFINFO_LIST = 21, 22
_IFLA_VF_INFO = _IFLA_VF_VLAN_INFO = 1
_SERVICE_TAG = 0x88A8  # ETH_P_8021AD
_MAC_ROOM = 32  # MAX_ADDR_LEN
_UNKNOWN = 0xFFFFFFFF  # -1: the driver does not report it

_ONE, _TWO, _THREE = struct.Struct("=I"), struct.Struct("=II"), struct.Struct("=III")
_VLAN_INFO = struct.Struct("=III2s")
_LINK_STATES = (LinkState.AUTO, LinkState.ENABLE, LinkState.DISABLE)


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


def vf_entries(data: bytes, start: int) -> dict[int, tuple[int, int]]:
    """Find the VFs in a link message whose attributes begin at ``start``: where each begins and ends, by VF index.

    The list is walked by the number of VFs (IFLA_NUM_VF), not by its own length: that has 16 bits and wraps above
    334 VFs, while the kernel still sends every entry. Raises NetlinkError (EMSGSIZE) when entries are missing.
    """
    count = 0
    entries: dict[int, tuple[int, int]] = {}
    for kind, begin, _ in attributes(data, start):
        if kind == IFLA_NUM_VF:
            (count,) = _ONE.unpack_from(data, begin)
        elif kind == IFLA_VFINFO_LIST:
            for entry, entry_begin, entry_end in islice(attributes(data, begin), count):
                if entry == _IFLA_VF_INFO and entry_end <= len(data):
                    # Every attribute of a VF begins with the VF's index, so the first one does.
                    entries[_ONE.unpack_from(data, entry_begin + 4)[0]] = (entry_begin, entry_end)
            break
    if len(entries) != count:
        raise NetlinkError(errno.EMSGSIZE, f"the kernel counts {count} VFs but lists {len(entries)}")
    return entries


def parse_vf(data: bytes, start: int, end: int) -> VfSettings:
    """Read one of the entries."""
    found: dict[int, int] = {kind: begin for kind, begin, _ in attributes(data, start, end)}

    def number(kind: VfAttribute, default: int) -> int:
        return int(_TWO.unpack_from(data, found[kind])[1]) if kind in found else default

    mac = found[VfAttribute.MAC]
    _, vlan, qos = _THREE.unpack_from(data, found[VfAttribute.VLAN])
    min_rate, max_rate = 0, number(VfAttribute.TX_RATE, 0)
    if VfAttribute.RATE in found:
        _, min_rate, max_rate = _THREE.unpack_from(data, found[VfAttribute.RATE])
    return VfSettings(
        mac=data[mac + 4 : mac + 10].hex(":"),
        vlan=vlan,
        qos=qos,
        service_tag=_has_service_tag(data, found.get(VfAttribute.VLAN_LIST)),
        spoof_check=_switch(number(VfAttribute.SPOOF_CHECK, _UNKNOWN)),
        trust=_switch(number(VfAttribute.TRUST, _UNKNOWN)),
        min_tx_rate=min_rate,
        max_tx_rate=max_rate,
        link_state=_LINK_STATES[number(VfAttribute.LINK_STATE, 0)],
    )


def _has_service_tag(data: bytes, vlan_list: int | None) -> bool:
    if vlan_list is None:
        return False
    _, begin, _ = next(attributes(data, vlan_list))
    protocol: bytes = _VLAN_INFO.unpack_from(data, begin)[3]
    return int.from_bytes(protocol, "big") == _SERVICE_TAG


def _switch(value: int) -> bool | None:
    return None if value == _UNKNOWN else value != 0


def encode_vf_attribute(index: int, kind: VfAttribute, wanted: VfSettings) -> bytes:
    """Encode the one attribute of ``wanted``, for the VF with this index, as the payload of a link change."""
    payload = _payload(index, kind, wanted)
    return attribute(IFLA_VFINFO_LIST, attribute(_IFLA_VF_INFO, payload))


def _payload(index: int, kind: VfAttribute, wanted: VfSettings) -> bytes:
    if kind is VfAttribute.VLAN and wanted.service_tag:
        info = _VLAN_INFO.pack(index, wanted.vlan, wanted.qos, _SERVICE_TAG.to_bytes(2, "big")) + bytes(2)
        return attribute(VfAttribute.VLAN_LIST, attribute(_IFLA_VF_VLAN_INFO, info))
    match kind:
        case VfAttribute.MAC:
            value = bytes.fromhex(wanted.mac.replace(":", "")).ljust(_MAC_ROOM, b"\0")
        case VfAttribute.VLAN:
            value = _TWO.pack(wanted.vlan, wanted.qos)
        case VfAttribute.RATE:
            value = _TWO.pack(wanted.min_tx_rate, wanted.max_tx_rate)
        case VfAttribute.LINK_STATE:
            value = _ONE.pack(_LINK_STATES.index(wanted.link_state))
        case VfAttribute.SPOOF_CHECK:
            value = _ONE.pack(bool(wanted.spoof_check))
        case VfAttribute.TRUST:
            value = _ONE.pack(bool(wanted.trust))
        case _:
            raise ValueError(f"{kind.name} is only read")
    return attribute(kind, _ONE.pack(index) + value)
