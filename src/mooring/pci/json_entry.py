"""The entries that Nova's PCI options have in common: JSON objects, one or a list of them in each value of an option.

All raise ValueError with what is wrong; the option that an entry is of adds which it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping

from mooring.suggestions import suggest

Entry = Mapping[str, object]

_ID = re.compile(r"[0-9a-f]{1,4}", re.IGNORECASE)
_TRUE = frozenset({"true", "yes", "on", "1", "t", "y"})
_FALSE = frozenset({"false", "no", "off", "0", "f", "n"})


def read_entries(value: str) -> list[object]:
    """Read one value of an option."""
    try:
        parsed = json.loads(value)
    except ValueError as exc:
        raise ValueError(f"it is not JSON ({exc}); quote keys and values with double quotes") from exc
    return parsed if isinstance(parsed, list) else [parsed]


def check_keys(entry: object, known: Collection[str], example: str) -> Entry:
    """Return the entry if it is an object of known keys; ``example`` shows one."""
    if not isinstance(entry, dict):
        raise ValueError(f"each entry is a JSON object such as {example}")  # noqa: TRY004
    for key in entry:
        if key not in known:
            raise ValueError(f"unknown key {key!r}; {suggest(key, known)}")
    return entry


def hex_id(entry: Entry, key: str) -> str | None:
    """Return a vendor's or product's id as four lower-case hexadecimal digits; ``*`` and nothing are any."""
    value = entry.get(key, "*")
    if not isinstance(value, str):
        raise ValueError(f'{key} must be text in quotes such as "8086", not {value!r}')  # noqa: TRY004
    value = value.strip()
    if value == "*":
        return None
    if _ID.fullmatch(value) is None:
        raise ValueError(f"{key} {value!r} is neither four hexadecimal digits nor *")
    return value.lower().zfill(4)


def text(entry: Entry, key: str) -> str | None:
    """Return a text that is not empty, or None where the key is absent."""
    if key not in entry:
        return None
    value = entry[key]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{key} must be text in quotes that is not empty, not {value!r}")
    return value


def flag(entry: Entry, key: str) -> bool:
    """Return a flag, in JSON or in words; an absent one is False."""
    value = str(entry.get(key, False)).lower()
    if value not in _TRUE | _FALSE:
        raise ValueError(f"{key} must be true or false, not {entry[key]!r}")
    return value in _TRUE
