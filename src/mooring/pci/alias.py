"""Names for kinds of devices: Nova's and Zun's ``[pci] alias``, and how a container asks by them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Self

from mooring.errors import InvalidAlias
from mooring.pci.json_entry import Entry, check_keys, flag, hex_id, read_entries, text
from mooring.pci.requests import DeviceKind, NumaPolicy, ProductSpec
from mooring.suggestions import suggest

# Nova's names and, without "type-", Zun's.
_KINDS = {kind.value: kind for kind in DeviceKind} | {kind.name: kind for kind in DeviceKind}

# Meant for virtual machines and for Placement: their form is checked, and a container takes no notice.
_INERT_TEXTS = ("resource_class", "traits", "capability_type")
_INERT_FLAGS = ("live_migratable",)
_KEYS = ("name", "vendor_id", "product_id", "device_type", "numa_policy", *_INERT_TEXTS, *_INERT_FLAGS)
_EXAMPLE = '{"name": "qat", "vendor_id": "8086", "product_id": "37c9", "device_type": "type-VF"}'

_MOST_DEVICES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A kind of device that containers ask for by name. An entry repeated under one name adds to its ``products``.

    No ``kind`` is any but a whole card (see DeviceRequest).
    """

    name: str
    products: tuple[ProductSpec, ...]
    kind: DeviceKind | None
    numa_policy: NumaPolicy = NumaPolicy.LEGACY

    @classmethod
    def parse(cls, entry: object) -> Self:
        """Read one entry of the option; raise InvalidAlias."""
        try:
            keys = check_keys(entry, _KEYS, _EXAMPLE)
            for key in _INERT_TEXTS:
                text(keys, key)
            for key in _INERT_FLAGS:
                flag(keys, key)
            return cls(name=_name(keys), products=(_product(keys),), kind=_kind(keys), numa_policy=_numa_policy(keys))
        except ValueError as exc:
            raise InvalidAlias(json.dumps(entry), str(exc)) from exc

    def joined(self, other: Alias) -> Alias:
        """Return this alias with the products of another entry of its name; raise InvalidAlias if they contradict."""
        if other.kind is not self.kind:
            one, another = self.kind or "open", other.kind or "open"
            raise InvalidAlias(self.name, f"its device_type is {one} in one entry and {another} in another")
        if other.numa_policy is not self.numa_policy:
            policy, differing = self.numa_policy, other.numa_policy
            raise InvalidAlias(self.name, f"its numa_policy is {policy} in one entry and {differing} in another")
        return replace(self, products=tuple(dict.fromkeys((*self.products, *other.products))))


def parse_aliases(values: Iterable[str]) -> Mapping[str, Alias]:
    """Read the option's values, each a JSON object or a list of objects; return aliases by name, or raise InvalidAlias.

    Any of the products of a name that is repeated will do; its entries must agree in everything else.
    """
    aliases: dict[str, Alias] = {}
    for value in values:
        for entry in _entries(value):
            alias = Alias.parse(entry)
            former = aliases.get(alias.name)
            aliases[alias.name] = alias if former is None else former.joined(alias)
    return aliases


def parse_alias_request(value: object, known: Mapping[str, Alias]) -> tuple[str, ...]:
    """Read ``NAME:COUNT,NAME:COUNT``; return the name of an alias for each device that is asked for.

    Raises InvalidAlias, too, for a name that is not known and for more devices than a container may have.
    """
    if not isinstance(value, str) or not value.strip():
        raise InvalidAlias(str(value), "write NAME:COUNT, or several with commas between them, as in qat:2,gpu:1")
    wanted = [_wanted(part, known) for part in value.split(",")]
    if sum(count for _, count in wanted) > _MOST_DEVICES:
        raise InvalidAlias(value, f"a container has {_MOST_DEVICES} devices at most")
    return tuple(name for name, count in wanted for _ in range(count))


def _wanted(part: str, known: Mapping[str, Alias]) -> tuple[str, int]:
    name, _, count = (piece.strip() for piece in part.rpartition(":"))
    # A number of many digits is not worth reading.
    if not name or not count.isdecimal() or int(count[:9]) == 0:
        raise InvalidAlias(part, "write NAME:COUNT with a count of 1 or more, as in qat:2")
    if name not in known:
        near = suggest(name, known) if known else "the administrator has defined none ([pci] alias)"
        raise InvalidAlias(name, f"there is no alias of that name; {near}")
    return name, int(count[:9])


def _entries(value: str) -> list[object]:
    try:
        return read_entries(value)
    except ValueError as exc:
        raise InvalidAlias(value, str(exc)) from exc


def _name(entry: Entry) -> str:
    name = text(entry, "name")
    if name is None:
        raise ValueError("name is missing; containers ask for devices by it")
    if "," in name:
        raise ValueError(f"the name {name!r} has a comma, which separates names where containers ask for them")
    return name.strip()


def _product(entry: Entry) -> ProductSpec:
    product = ProductSpec(vendor_id=hex_id(entry, "vendor_id"), product_id=hex_id(entry, "product_id"))
    if product == ProductSpec():
        raise ValueError("vendor_id and product_id are both missing; any device would do, which nobody can mean")
    return product


def _kind(entry: Entry) -> DeviceKind | None:
    value = text(entry, "device_type")
    if value is None:
        return None
    if value not in _KINDS:
        raise ValueError(f"device_type {value!r} is not known; {suggest(value, _KINDS)}")
    return _KINDS[value]


def _numa_policy(entry: Entry) -> NumaPolicy:
    value = text(entry, "numa_policy")
    if value is None:
        return NumaPolicy.LEGACY
    known = [policy.value for policy in NumaPolicy]
    if value not in known:
        raise ValueError(f"numa_policy {value!r} is not known; {suggest(value, known)}")
    return NumaPolicy(value)
