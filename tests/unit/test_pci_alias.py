"""Nova's and Zun's [pci] alias: what a name stands for, how containers ask by it, and what is refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.errors import InvalidAlias
from mooring.pci.alias import Alias, parse_alias_request, parse_aliases
from mooring.pci.requests import DeviceKind, DeviceRequest, NumaPolicy, ProductSpec

ENTRY = {"name": "a", "vendor_id": "8086", "product_id": "154c", "device_type": "type-VF"}
ID = st.text("0123456789abcdefABCDEF", min_size=1, max_size=4)
KNOWN = parse_aliases([json.dumps([ENTRY, {**ENTRY, "name": "quick assist"}, {**ENTRY, "name": "b:c"}])])


def alias(**entry: object) -> Alias:
    (parsed,) = parse_aliases([json.dumps({**ENTRY, **entry})]).values()
    return parsed


def refusal(*entries: object) -> str:
    with pytest.raises(InvalidAlias) as refused:
        parse_aliases([json.dumps(entry) for entry in entries])
    return str(refused.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *[("type-PCI", DeviceKind.PCI), ("type-PF", DeviceKind.PF), ("type-VF", DeviceKind.VF)],
        *[("PCI", DeviceKind.PCI), ("PF", DeviceKind.PF), ("VF", DeviceKind.VF)],
    ],
)
def test_the_device_type_is_written_as_in_nova_or_as_in_zun(written: str, meant: DeviceKind) -> None:
    assert alias(device_type=written).kind is meant


@given(ID, ID)
@settings(deadline=None)
def test_ids_become_four_lower_case_digits_of_the_same_value(vendor: str, product: str) -> None:
    (spec,) = alias(vendor_id=vendor, product_id=product).products

    assert (len(spec.vendor_id or ""), int(spec.vendor_id or "", 16)) == (4, int(vendor, 16))
    assert (len(spec.product_id or ""), int(spec.product_id or "", 16)) == (4, int(product, 16))
    assert spec.product_id == (spec.product_id or "").lower()


def test_one_of_the_ids_may_be_left_open() -> None:
    assert alias(product_id="*").products == (ProductSpec(vendor_id="8086"),)


@given(st.lists(ID, min_size=1, max_size=6), st.data())
@settings(deadline=None)
def test_any_product_of_a_repeated_name_will_do_however_the_entries_are_spread(
    ids: list[str], data: st.DataObject
) -> None:
    entries = [{**ENTRY, "product_id": product} for product in ids]
    cut = data.draw(st.integers(0, len(entries)))

    together = parse_aliases([json.dumps(entries)])
    apart = parse_aliases([json.dumps(entries[:cut]), *map(json.dumps, entries[cut:])])

    assert apart == together
    assert {spec.product_id for spec in together["a"].products} == {product.lower().zfill(4) for product in ids}


def test_keys_for_virtual_machines_and_placement_are_accepted() -> None:
    assert alias(live_migratable="yes", resource_class="CUSTOM_A", traits="CUSTOM_B", capability_type="pci") == alias()


def test_the_numa_policy_is_novas_and_legacy_where_nothing_is_said() -> None:
    assert alias().numa_policy is NumaPolicy.LEGACY
    assert alias(numa_policy="required").numa_policy is NumaPolicy.REQUIRED


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"nmae": "b"}, "unknown key 'nmae'; did you mean name?"),
        ({"name": " "}, "name must be text in quotes that is not empty"),
        ({"name": "a,b"}, "has a comma"),
        ({"vendor_id": 8086}, 'vendor_id must be text in quotes such as "8086", not 8086'),
        ({"product_id": "0x154c"}, "product_id '0x154c' is neither four hexadecimal digits nor *"),
        ({"vendor_id": "*", "product_id": "*"}, "vendor_id and product_id are both missing"),
        ({"device_type": "type-VFS"}, "device_type 'type-VFS' is not known; did you mean type-VF?"),
        ({"numa_policy": "requird"}, "numa_policy 'requird' is not known; did you mean required?"),
        ({"live_migratable": "maybe"}, "live_migratable must be true or false"),
        ({"traits": ["A"]}, "traits must be text"),
    ],
)
def test_an_entry_that_cannot_be_used_is_shown_with_the_reason(entry: dict[str, object], words: str) -> None:
    whole = {**ENTRY, **entry}

    message = refusal(whole)

    assert message.startswith("PCI alias " + json.dumps(whole))
    assert words in message


UNTYPED = {key: value for key, value in ENTRY.items() if key != "device_type"}


def test_an_entry_without_a_name_is_refused() -> None:
    assert "name is missing" in refusal({key: value for key, value in ENTRY.items() if key != "name"})


def test_without_a_device_type_any_device_of_the_product_will_do_but_a_whole_card() -> None:
    (untyped,) = parse_aliases([json.dumps(UNTYPED)]).values()
    request = DeviceRequest(id="a1", kind=untyped.kind, products=untyped.products)

    assert [kind for kind in DeviceKind if request.admits(kind)] == [DeviceKind.VF, DeviceKind.PCI]


def test_entries_of_one_name_may_all_be_without_a_device_type_but_not_some() -> None:
    (alias,) = parse_aliases([json.dumps([UNTYPED, {**UNTYPED, "product_id": "1"}])]).values()

    assert len(alias.products) == 2
    assert "its device_type is type-VF in one entry and open in another" in refusal(ENTRY, UNTYPED)


@pytest.mark.parametrize(("value", "words"), [("{'name': 'a'}", "it is not JSON"), ("[7]", "each entry is a JSON obj")])
def test_a_value_that_is_no_object_is_refused(value: str, words: str) -> None:
    with pytest.raises(InvalidAlias, match=words):
        parse_aliases([value])


@pytest.mark.parametrize(("key", "value"), [("device_type", "type-PCI"), ("numa_policy", "required")])
def test_entries_of_one_name_must_agree(key: str, value: str) -> None:
    assert f"PCI alias a: its {key} is" in refusal(ENTRY, {**ENTRY, key: value})


def test_devices_are_asked_for_by_name_and_count() -> None:
    assert parse_alias_request("a:2, quick assist:1,b:c : 1", KNOWN) == ("a", "a", "quick assist", "b:c")


@given(st.lists(st.tuples(st.sampled_from(sorted(KNOWN)), st.integers(1, 9)), min_size=1, max_size=7))
@settings(deadline=None)
def test_each_name_is_asked_for_as_often_as_its_counts_add_up_to(wanted: list[tuple[str, int]]) -> None:
    names = parse_alias_request(",".join(f"{name}:{count}" for name, count in wanted), KNOWN)

    for known in KNOWN:
        assert names.count(known) == sum(count for name, count in wanted if name == known)


@pytest.mark.parametrize("value", ["", "a", "a:", ":1", "a:0", "a:-1", "a:x", "a:1,", "a:1.5", None, 7, {"a": 1}])
def test_a_request_of_another_form_is_refused_with_the_form_it_should_have(value: object) -> None:
    with pytest.raises(InvalidAlias, match="write NAME:COUNT"):
        parse_alias_request(value, KNOWN)


def test_a_name_that_nobody_knows_is_refused_with_a_suggestion() -> None:
    with pytest.raises(InvalidAlias, match=r"there is no alias of that name; did you mean quick assist\?"):
        parse_alias_request("quick asist:1", KNOWN)
    with pytest.raises(InvalidAlias, match="the administrator has defined none"):
        parse_alias_request("a:1", {})


@pytest.mark.parametrize("count", ["65", "9" * 5000])
def test_more_devices_than_a_container_may_have_are_refused(count: str) -> None:
    with pytest.raises(InvalidAlias, match="64 devices at most"):
        parse_alias_request(f"a:{count}", KNOWN)
