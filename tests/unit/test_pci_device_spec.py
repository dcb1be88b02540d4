"""Nova's device_spec and Zun's passthrough_whitelist: what an entry admits, and what it is refused for."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.errors import InvalidDeviceSpec
from mooring.pci.address import PciAddress
from mooring.pci.device import PciDevice, PhysicalFunction, VirtualFunction
from mooring.pci.device_spec import DeviceSpec, first_match

ADDRESSES = st.builds(
    PciAddress, st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFF), st.integers(0, 0x1F), st.integers(0, 7)
)


def spec(**entry: object) -> DeviceSpec:
    (parsed,) = DeviceSpec.parse_all([json.dumps(entry)])
    return parsed


def plain(address: str | PciAddress) -> PciDevice:
    where = PciAddress.parse(address) if isinstance(address, str) else address
    return PciDevice(address=where, vendor_id="8086", product_id="10c9", numa_node=None)


def virtual(address: str, parent: str) -> VirtualFunction:
    return VirtualFunction(
        address=PciAddress.parse(address),
        vendor_id="8086",
        product_id="10ca",
        numa_node=None,
        parent=PciAddress.parse(parent),
        index=0,
        driver="igbvf",
        netdev=None,
        elsewhere=True,
    )


def physical(address: str, *, netdev: str | None = "ens1") -> PhysicalFunction:
    return PhysicalFunction(
        address=PciAddress.parse(address),
        vendor_id="8086",
        product_id="10c9",
        numa_node=0,
        netdev=netdev,
        driver="igb",
        total_vfs=7,
        vfs=(),
    )


PF = physical("0000:0a:00.0")
VF = virtual("0000:0a:10.1", "0000:0a:00.0")


def refusal(value: str) -> str:
    with pytest.raises(InvalidDeviceSpec) as refused:
        DeviceSpec.parse_all([value])
    return str(refused.value)


@given(ADDRESSES)
@settings(deadline=None)
def test_an_address_reads_back_as_it_was_written(address: PciAddress) -> None:
    assert PciAddress.parse(str(address)) == address


@given(ADDRESSES, ADDRESSES)
@settings(deadline=None)
def test_a_glob_that_names_all_parts_matches_exactly_that_address(address: PciAddress, other: PciAddress) -> None:
    entry = spec(address=str(address))

    assert entry.matches(plain(address), None)
    assert entry.matches(plain(other), None) == (address == other)


@given(ADDRESSES, st.sets(st.sampled_from(["domain", "bus", "slot", "function"])))
@settings(deadline=None)
def test_leaving_parts_of_a_glob_open_never_loses_the_address(address: PciAddress, opened: set[str]) -> None:
    parts = {
        "domain": f"{address.domain:04x}",
        "bus": f"{address.bus:02x}",
        "slot": f"{address.device:02x}",
        "function": f"{address.function}",
    } | dict.fromkeys(opened, "*")

    assert spec(address="{domain}:{bus}:{slot}.{function}".format(**parts)).matches(plain(address), None)


@pytest.mark.parametrize(
    ("glob", "admitted", "left_out"),
    [
        ("0a:00", ["0000:0a:00.0", "0001:0a:00.3"], ["0000:0b:00.0", "0000:0a:01.0"]),
        (".1", ["0000:0a:00.1", "00ff:01:1f.1"], ["0000:0a:00.0"]),
        ("", ["0000:0a:00.0", "10000:e1:00.1"], []),
        ("*", ["0000:0a:00.0"], []),
        ("*:0a:00.*", ["0000:0a:00.7"], ["0000:0b:00.7"]),
        ("0000:0A:00", ["0000:0a:00.2"], ["0001:0a:00.2"]),
        (":: .", ["0000:0a:00.2"], []),
        ("a:0.1", ["0000:0a:00.1"], ["0000:0a:01.1"]),
        ("10000:e1:00.*", ["10000:e1:00.1"], ["0000:e1:00.1"]),
    ],
)
def test_a_glob_leaves_open_what_it_does_not_say(glob: str, admitted: list[str], left_out: list[str]) -> None:
    entry = spec(address=glob)

    assert [a for a in admitted + left_out if entry.matches(plain(a), None)] == admitted


def test_an_address_of_expressions_matches_each_part_as_a_whole() -> None:
    entry = spec(address={"bus": "0|1[0-9A-F]", "function": "[0-3]"})

    assert entry.matches(plain("0000:1c:00.2"), None)
    assert not entry.matches(plain("0000:0a:00.2"), None)
    assert not entry.matches(plain("0000:1c:00.4"), None)


def test_an_entry_without_address_or_name_admits_every_device_of_its_kind() -> None:
    assert spec(vendor_id="8086", product_id="10CA").matches(VF, PF)
    assert spec().matches(VF, PF)
    assert not spec(vendor_id="15b3").matches(VF, PF)


@pytest.mark.parametrize(
    ("written", "meant"), [(" 8086 ", "8086"), ("10CA", "10ca"), ("10", "0010"), ("*", None)], ids=str
)
def test_ids_are_stripped_lowered_and_padded(written: str, meant: str | None) -> None:
    assert spec(vendor_id=written, product_id=written).vendor_id == meant
    assert spec(vendor_id=written, product_id=written).product_id == meant


@pytest.mark.parametrize("named", [{"address": "0000:0a:00.0"}, {"devname": "ens1"}], ids=["address", "devname"])
def test_naming_a_pf_admits_its_vfs_too(named: dict[str, str]) -> None:
    stranger = physical("0000:0b:00.0", netdev="ens2")

    assert spec(**named).matches(PF, None)
    assert spec(**named).matches(VF, PF)
    assert not spec(**named).matches(virtual("0000:0b:10.1", "0000:0b:00.0"), stranger)


def test_naming_a_pf_and_the_ids_of_vfs_admits_the_vfs_alone() -> None:
    entry = spec(address="0000:0a:00.0", product_id="10ca")

    assert entry.matches(VF, PF)
    assert not entry.matches(PF, None)


def test_a_glob_that_admits_the_pf_does_not_admit_its_vfs_through_it() -> None:
    assert not spec(address="*:0a:00.0").matches(VF, PF)


def test_an_interface_name_admits_nothing_while_the_pf_has_no_interface_here() -> None:
    away = physical("0000:0a:00.0", netdev=None)

    assert not spec(devname="ens1").matches(away, None)
    assert not spec(devname="ens1").matches(VF, away)
    assert not spec(devname="ens1").matches(plain("0000:0a:00.0"), None)


def test_a_value_is_one_object_or_a_list_of_them_and_order_is_kept() -> None:
    specs = DeviceSpec.parse_all(['[{"devname": "a"}, {"devname": "b"}]', '{"devname": "c"}'])

    assert [entry.devname for entry in specs] == ["a", "b", "c"]


def test_the_first_entry_that_admits_a_device_counts() -> None:
    specs = DeviceSpec.parse_all(
        [
            '{"address": "0000:0b:00.0", "physical_network": "other"}',
            '{"devname": "ens1", "physical_network": "physnet1"}',
            '{"physical_network": "rest"}',
        ]
    )

    assert first_match(specs, VF, PF) is specs[1]
    assert first_match(specs, plain("0000:0c:00.0"), None) is specs[2]
    assert first_match(specs[:2], plain("0000:0c:00.0"), None) is None


def test_the_physical_network_keeps_its_case_and_may_be_null() -> None:
    assert spec(physical_network="PhysNet1").physical_network == "PhysNet1"
    assert spec(physical_network=None).physical_network is None
    assert spec().physical_network is None


@pytest.mark.parametrize(("value", "meant"), [(True, True), ("true", True), ("False", False), (False, False)])
def test_trust_is_a_flag_in_json_or_in_words(*, value: object, meant: bool) -> None:
    assert spec(trusted=value).trusted is meant


def test_keys_for_virtual_machines_and_placement_are_accepted() -> None:
    entry = spec(
        managed="no",
        live_migratable=True,
        resource_class="CUSTOM_VF",
        traits="CUSTOM_A,CUSTOM_B",
        remote_managed=False,
        one_time_use="false",
    )

    assert entry.matches(VF, PF)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"phisical_network": "physnet1"}, "did you mean physical_network?"),
        ({"zzz": 1}, "known are vendor_id, product_id, address"),
        ({"vendor_id": 8086}, 'vendor_id must be text in quotes such as "8086", not 8086'),
        ({"vendor_id": "80866"}, "'80866' is neither four hexadecimal digits nor *"),
        ({"product_id": "10cz"}, "'10cz' is neither"),
        ({"product_id": ""}, "product_id '' is neither"),
        ({"address": "0000:0a:00.8"}, "the function '8' of address '0000:0a:00.8' is above 7"),
        ({"address": "0a:20"}, "the slot '20' of address '0a:20' is above 1f"),
        ({"address": "1:0000:0a:00"}, "too many parts"),
        ({"address": "0a*:00"}, "the bus '0a*' of address '0a*:00' is neither hexadecimal nor *"),
        ({"address": "0a:00.0.1"}, "the function '0.1'"),
        ({"address": 10}, "address must be text"),
        ({"address": {"device": ".*"}}, "no part 'device'; its parts are domain, bus, slot, function"),
        ({"address": {"bus": "0a("}}, "'0a(' is not a regular expression"),
        ({"address": {"bus": 10}}, "bus must be a regular expression in quotes"),
        ({"address": "*", "devname": "ens1"}, "exclude each other"),
        ({"devname": None}, "devname must be text in quotes that is not empty, not None"),
        ({"physical_network": " "}, "physical_network must be text in quotes that is not empty"),
        ({"trusted": "maybe"}, "trusted must be true or false, not 'maybe'"),
        ({"managed": "maybe"}, "managed must be true or false"),
        ({"traits": ["CUSTOM_A"]}, "traits must be text"),
        ({"remote_managed": True}, "remote_managed: ports of a SmartNIC"),
        ({"one_time_use": "yes"}, "one_time_use: a VF is cleaned and used again"),
    ],
)
def test_an_entry_that_cannot_be_used_is_refused_by_name_with_the_reason(entry: dict[str, object], words: str) -> None:
    message = refusal(json.dumps(entry))

    assert json.dumps(entry) in message
    assert words in message


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{'vendor_id': '8086'}", "it is not JSON"),
        ("", "it is not JSON"),
        ('"0000:0a:00.0"', "each entry is a JSON object"),
        ('[["8086"]]', "each entry is a JSON object"),
    ],
)
def test_a_value_that_is_no_object_is_refused(value: str, words: str) -> None:
    assert words in refusal(value)
