"""Which devices of a host may be handed out: Nova's ``device_spec``, which Zun calls ``passthrough_whitelist``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from mooring.errors import InvalidDeviceSpec
from mooring.pci.address_pattern import AddressGlob, AddressRegexes
from mooring.pci.device import PciDevice, PhysicalFunction, PlainDevice
from mooring.pci.json_entry import Entry, check_keys, flag, hex_id, read_entries, text
from mooring.suggestions import suggest

# Meant for virtual machines and for Placement: their form is checked, and a container takes no notice.
_INERT_FLAGS = ("managed", "live_migratable")
_INERT_TEXTS = ("resource_class", "traits")
_UNSERVED_FLAGS = {
    "remote_managed": "ports of a SmartNIC that is managed from its own side are not served; remove the entry",
    "one_time_use": "a VF is cleaned and used again; remove the key, or the entry if its devices must not be",
}
_VF_DRIVERS = ("vfio-pci",)
_KEYS = (
    *("vendor_id", "product_id", "address", "devname", "physical_network", "trusted", "vf_driver"),
    *_INERT_FLAGS,
    *_INERT_TEXTS,
    *_UNSERVED_FLAGS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """One entry of the list. What it leaves open (None) matches anything.

    ``text`` is the entry as written, for messages. ``physical_network``, ``trusted`` and ``vf_driver`` are no criteria
    but what the entry says of the devices it matches: the network they are on (compared exactly, case included; None
    serves no port), whether a port may have its VF trusted, and, mooring's own addition to Nova's keys, the driver that
    their VFs are kept bound to (None for their network driver).
    """

    text: str
    vendor_id: str | None
    product_id: str | None
    address: AddressGlob | AddressRegexes | None
    devname: str | None
    physical_network: str | None
    trusted: bool
    vf_driver: str | None = None

    @classmethod
    def parse_all(cls, values: Iterable[str]) -> tuple[Self, ...]:
        """Read the option's values, each a JSON object or a list of objects; raise InvalidDeviceSpec."""
        return tuple(cls._parse(entry) for value in values for entry in _entries(value))

    def matches(self, device: PciDevice, parent: PhysicalFunction | None) -> bool:
        """Tell whether the entry admits a device; ``parent`` is the PF of a VF, None for anything else.

        An entry that names one PF, by its whole address or by its interface, also admits that PF's VFs. Vendor and
        product are always those of the device itself.
        """
        return (
            self.vendor_id in (None, device.vendor_id)
            and self.product_id in (None, device.product_id)
            and self._at_address(device, parent)
            and self._of_interface(device, parent)
        )

    def _at_address(self, device: PciDevice, parent: PhysicalFunction | None) -> bool:
        if self.address is None or self.address.matches(device.address):
            return True
        return parent is not None and self.address.single == parent.address

    def _of_interface(self, device: PciDevice, parent: PhysicalFunction | None) -> bool:
        if self.devname is None:
            return True
        pf = parent or device
        return isinstance(pf, PhysicalFunction) and pf.netdev == self.devname

    @classmethod
    def _parse(cls, entry: object) -> Self:
        written = json.dumps(entry)
        try:
            keys = _checked(entry)
            return cls(
                text=written,
                vendor_id=hex_id(keys, "vendor_id"),
                product_id=hex_id(keys, "product_id"),
                address=_address(keys),
                devname=text(keys, "devname"),
                physical_network=_network(keys),
                trusted=flag(keys, "trusted"),
                vf_driver=_vf_driver(keys),
            )
        except ValueError as exc:
            raise InvalidDeviceSpec(written, str(exc)) from exc


def admits_plain(specs: Iterable[DeviceSpec], device: PlainDevice) -> bool:
    """Tell whether a device that is no network card's may be handed to programs.

    An entry with a physical network is about what makes ports present, and such a device does not.
    """
    spec = first_match(specs, device, None)
    return spec is not None and spec.physical_network is None


def first_match(specs: Iterable[DeviceSpec], device: PciDevice, parent: PhysicalFunction | None) -> DeviceSpec | None:
    """Return the first entry that admits the device, which is the one that counts."""
    return next((spec for spec in specs if spec.matches(device, parent)), None)


def _entries(value: str) -> list[object]:
    try:
        return read_entries(value)
    except ValueError as exc:
        raise InvalidDeviceSpec(value, str(exc)) from exc


def _checked(entry: object) -> Entry:
    """Return the entry if it is an object of known keys, none of which asks for what is not served here."""
    keys = check_keys(entry, _KEYS, '{"vendor_id": "8086"}')
    for key, problem in _UNSERVED_FLAGS.items():
        if flag(keys, key):
            raise ValueError(f"{key}: {problem}")
    for key in _INERT_FLAGS:
        flag(keys, key)
    for key in _INERT_TEXTS:
        text(keys, key)
    return keys


def _address(entry: Entry) -> AddressGlob | AddressRegexes | None:
    if "address" not in entry:
        return None
    if "devname" in entry:
        raise ValueError("address and devname exclude each other; keep the address, which never changes by itself")
    match entry["address"]:
        case str(glob):
            return AddressGlob.parse(glob)
        case dict(parts):
            return AddressRegexes.parse(parts)
        case other:
            raise ValueError(f'address must be text such as "0000:3b:00.*" or an object of expressions, not {other!r}')


def _network(entry: Entry) -> str | None:
    # Nova writes null for devices that carry tunnelled networks.
    return None if entry.get("physical_network") is None else text(entry, "physical_network")


def _vf_driver(entry: Entry) -> str | None:
    name = text(entry, "vf_driver")
    if name is not None and name not in _VF_DRIVERS:
        raise ValueError(f"vf_driver {name!r} is not served; {suggest(name, _VF_DRIVERS)}")
    return name
