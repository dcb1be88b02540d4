"""Patterns that PCI addresses are held against: the text globs and the regular expressions of a device spec."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from mooring.pci.address import PciAddress

_ANY = "*"
_HEX = re.compile(r"[0-9a-f]+", re.IGNORECASE)
_REGEX_FIELDS = ("domain", "bus", "slot", "function")


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressGlob:
    """``[[[domain:]bus:]slot][.function]`` with ``*`` or nothing for a part that may be anything (None here).

    ``0a:00`` is any function of slot 00 on bus 0a of any domain; ``.1`` is every function 1; empty text is everything.
    """

    domain: int | None
    bus: int | None
    device: int | None
    function: int | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a glob; raise ValueError with the reason when it is none."""
        path, _, function = text.partition(".")
        parts = path.split(":")
        if len(parts) > len(("domain", "bus", "slot")):
            raise ValueError(f"address {text!r} has too many parts; write [[[domain:]bus:]slot][.function]")
        domain, bus, device = [_ANY] * (3 - len(parts)) + parts
        return cls(
            domain=_part(text, "domain", domain, 0xFFFFFFFF),
            bus=_part(text, "bus", bus, 0xFF),
            device=_part(text, "slot", device, 0x1F),
            function=_part(text, "function", function, 0x7),
        )

    @property
    def single(self) -> PciAddress | None:
        """The one address this glob stands for, or None when it leaves a part open."""
        if self.domain is None or self.bus is None or self.device is None or self.function is None:
            return None
        return PciAddress(self.domain, self.bus, self.device, self.function)

    def matches(self, address: PciAddress) -> bool:
        """Tell whether every part that is named is that of the address."""
        return (
            self.domain in (None, address.domain)
            and self.bus in (None, address.bus)
            and self.device in (None, address.device)
            and self.function in (None, address.function)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRegexes:
    """One regular expression for each part, held against the part's whole text as in ``0000:0a:00.1``.

    Case does not matter. Nova and Zun anchor at the start only, so that their bus ``0`` also matches ``0a``; here it
    matches nothing.
    """

    domain: re.Pattern[str]
    bus: re.Pattern[str]
    device: re.Pattern[str]
    function: re.Pattern[str]

    @classmethod
    def parse(cls, parts: dict[str, object]) -> Self:
        """Read ``{"domain": ..., "bus": ..., "slot": ..., "function": ...}``; raise ValueError with the reason."""
        if unknown := sorted(parts.keys() - set(_REGEX_FIELDS)):
            raise ValueError(f"address has no part {unknown[0]!r}; its parts are {', '.join(_REGEX_FIELDS)}")
        domain, bus, slot, function = (_regex(field, parts.get(field, ".*")) for field in _REGEX_FIELDS)
        return cls(domain=domain, bus=bus, device=slot, function=function)

    @property
    def single(self) -> None:
        """No regular expression is taken for the name of one device."""
        return None

    def matches(self, address: PciAddress) -> bool:
        """Tell whether each expression matches the whole of its part."""
        return (
            self.domain.fullmatch(f"{address.domain:04x}") is not None
            and self.bus.fullmatch(f"{address.bus:02x}") is not None
            and self.device.fullmatch(f"{address.device:02x}") is not None
            and self.function.fullmatch(f"{address.function}") is not None
        )


def _part(text: str, field: str, value: str, limit: int) -> int | None:
    value = value.strip()
    if value in ("", _ANY):
        return None
    if _HEX.fullmatch(value) is None:
        raise ValueError(f"the {field} {value!r} of address {text!r} is neither hexadecimal nor *")
    if (number := int(value, 16)) > limit:
        raise ValueError(f"the {field} {value!r} of address {text!r} is above {limit:x}")
    return number


def _regex(field: str, expression: object) -> re.Pattern[str]:
    if not isinstance(expression, str):
        raise ValueError(f"the address's {field} must be a regular expression in quotes, not {expression!r}")  # noqa: TRY004
    try:
        return re.compile(expression, re.IGNORECASE)
    except re.error as exc:
        raise ValueError(f"the address's {field} {expression!r} is not a regular expression: {exc}") from exc
