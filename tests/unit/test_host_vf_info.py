from __future__ import annotations

import errno
import struct

import pytest

from mooring.host.failures import NetlinkError
from mooring.host.kernel import LinkState, VfCounters, VfSettings
from mooring.host.links import ifinfmsg
from mooring.host.vf_info import (
    IFLA_NUM_VF,
    IFLA_VFINFO_LIST,
    VfAttribute,
    parse_counters,
    parse_vf,
    vf_change,
    vf_entries,
)

MAC = "fa:16:3e:00:00:0a"
_NUMBER = struct.Struct("=I")


def attribute(kind: int, payload: bytes) -> bytes:
    """Encode one attribute, padded to four bytes."""
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def numbers(kind: int, *values: int) -> bytes:
    return attribute(kind, struct.pack(f"={len(values)}I", *(value & 0xFFFFFFFF for value in values)))


def vf_entry(
    index: int, *, mac: str = MAC, vlan: int = 0, protocol: int = 0x8100, spoof: int = 1, trust: int = 0, link: int = 0
) -> bytes:
    """Encode a VF as Linux does (net/core/rtnetlink.c, rtnl_fill_vfinfo), without statistics."""
    vlan_info = struct.pack("=III", index, vlan, 3) + protocol.to_bytes(2, "big") + bytes(2)
    return attribute(
        1,
        attribute(1, _NUMBER.pack(index) + bytes.fromhex(mac.replace(":", "")) + bytes(26))
        + attribute(13, bytes(32))
        + numbers(2, index, vlan, 3)
        + numbers(6, index, 10, 200)
        + numbers(3, index, 200)
        + numbers(4, index, spoof)
        + numbers(5, index, link)
        + numbers(7, index, -1)
        + numbers(9, index, trust)
        + attribute(12, attribute(1, vlan_info)),
    )


def counted_entry(index: int, *counters: int) -> bytes:
    """Encode a VF with the statistics that follow its settings; the kernel numbers them from 0 and leaves out 6."""
    kinds = [kind for kind in range(9) if kind != 6]
    counts = b"".join(attribute(kind, struct.pack("=Q", count)) for kind, count in zip(kinds, counters, strict=False))
    return attribute(1, vf_entry(index)[4:] + attribute(8, attribute(6, b"") + counts))


def message(*entries: bytes, count: int | None = None) -> bytes:
    """Encode the attributes around a VF list, whose 16-bit length wraps as the kernel's does."""
    vf_list = b"".join(entries)
    header = struct.pack("=HH", (4 + len(vf_list)) & 0xFFFF, IFLA_VFINFO_LIST)
    name = attribute(3, b"enp1s0\0")
    return name + numbers(IFLA_NUM_VF, len(entries) if count is None else count) + header + vf_list + name


def parse_vf_list(data: bytes) -> dict[int, VfSettings]:
    return {index: parse_vf(entry) for index, entry in vf_entries(data, 0).items()}


def test_a_vf_is_read_attribute_by_attribute() -> None:
    assert parse_vf_list(message(vf_entry(4, vlan=100, trust=1, link=2))) == {
        4: VfSettings(
            mac=MAC,
            vlan=100,
            qos=3,
            spoof_check=True,
            trust=True,
            min_tx_rate=10,
            max_tx_rate=200,
            link_state=LinkState.DISABLE,
        )
    }


def test_what_the_driver_does_not_report_is_none() -> None:
    (settings,) = parse_vf_list(message(vf_entry(0, spoof=-1, trust=-1))).values()
    assert (settings.spoof_check, settings.trust) == (None, None)


def test_a_service_tag_is_told_from_a_customer_tag() -> None:
    listed = parse_vf_list(message(vf_entry(0, vlan=7), vf_entry(1, vlan=7, protocol=0x88A8)))
    assert [listed[index].service_tag for index in (0, 1)] == [False, True]


def test_vfs_are_keyed_by_their_own_index_and_not_by_their_place() -> None:
    assert set(parse_vf_list(message(vf_entry(5), vf_entry(2)))) == {5, 2}


@pytest.mark.parametrize("count", [0, 1, 64, 108, 127, 221, 334, 335, 336, 337, 400, 1024])
def test_a_card_may_have_any_number_of_vfs(count: int) -> None:
    entries = [vf_entry(index, vlan=index) for index in range(count)]
    listed = parse_vf_list(message(*entries))
    assert [listed[index].vlan for index in range(count)] == list(range(count))


def test_a_list_that_misses_vfs_is_an_error() -> None:
    with pytest.raises(NetlinkError, match="counts 3 VFs but lists 2") as error:
        parse_vf_list(message(vf_entry(0), vf_entry(1), count=3))
    assert error.value.errno == errno.EMSGSIZE


def test_a_list_cut_short_is_an_error() -> None:
    with pytest.raises(NetlinkError, match="counts 2 VFs but lists 1"):
        parse_vf_list(message(vf_entry(0), vf_entry(1))[:-40])


@pytest.mark.parametrize("count", [1, 7, 221, 222, 256])
def test_counters_are_read_by_the_index_of_the_vf(count: int) -> None:
    entries = vf_entries(message(*(counted_entry(index, *range(index, index + 8)) for index in range(count))), 0)
    last = count - 1
    assert len(entries) == count
    assert parse_counters(entries[last]) == VfCounters(
        rx_packets=last,
        tx_packets=last + 1,
        rx_bytes=last + 2,
        tx_bytes=last + 3,
        broadcast=last + 4,
        multicast=last + 5,
        rx_dropped=last + 6,
        tx_dropped=last + 7,
    )


def test_counters_have_64_bits() -> None:
    entries = vf_entries(message(counted_entry(0, 2**64 - 1)), 0)
    assert parse_counters(entries[0]) == VfCounters(rx_packets=2**64 - 1)


def test_a_vf_of_which_nothing_was_asked_has_no_counters() -> None:
    assert parse_counters(vf_entries(message(vf_entry(0)), 0)[0]) is None


def test_counters_do_not_disturb_the_settings() -> None:
    entries = [vf_entries(message(entry), 0)[3] for entry in (vf_entry(3), counted_entry(3, 1, 2))]
    assert parse_vf(entries[0]) == parse_vf(entries[1])


def encoded(vf_index: int, kind: VfAttribute, wanted: VfSettings) -> bytes:
    """Return what pyroute2 makes of a change of a VF."""
    message = ifinfmsg.vflist.vfinfo()
    message["attrs"] = [vf_change(vf_index, kind, wanted)]
    message.encode()
    return bytes(message.data[4:])


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (VfAttribute.VLAN, (3, 100, 5)),
        (VfAttribute.RATE, (3, 10, 200)),
        (VfAttribute.SPOOF_CHECK, (3, 0)),
        (VfAttribute.TRUST, (3, 1)),
        (VfAttribute.LINK_STATE, (3, 1)),
    ],
)
def test_an_attribute_is_written_with_the_index_of_its_vf(kind: VfAttribute, values: tuple[int, ...]) -> None:
    wanted = VfSettings(
        mac=MAC,
        vlan=100,
        qos=5,
        spoof_check=False,
        trust=True,
        min_tx_rate=10,
        max_tx_rate=200,
        link_state=LinkState.ENABLE,
    )
    assert encoded(3, kind, wanted) == numbers(kind, *values)


def test_a_mac_is_written_in_the_room_of_the_longest_address() -> None:
    written = encoded(3, VfAttribute.MAC, VfSettings(mac=MAC))
    assert written == attribute(VfAttribute.MAC, _NUMBER.pack(3) + bytes.fromhex("fa163e00000a") + bytes(26))


def test_a_service_tag_is_written_as_a_vlan_list() -> None:
    written = encoded(3, VfAttribute.VLAN, VfSettings(mac=MAC, vlan=7, service_tag=True))
    info = struct.pack("=III", 3, 7, 0) + b"\x88\xa8" + bytes(2)
    assert written == attribute(VfAttribute.VLAN_LIST, attribute(1, info))
