"""Tells in words where a VF differs from what its lease wants."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields

from mooring.host.kernel import VfSettings


def differences(wanted: VfSettings, held: VfSettings, *, ignoring: Collection[str] = ()) -> tuple[str, ...]:
    """Return a sentence for each setting that the PF holds differently; None wants nothing."""
    return tuple(
        f"{field.name} is {getattr(held, field.name)}, wanted {getattr(wanted, field.name)}"
        for field in fields(VfSettings)
        if field.name not in ignoring
        and getattr(wanted, field.name) is not None
        and getattr(wanted, field.name) != getattr(held, field.name)
    )
