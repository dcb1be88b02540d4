"""What is installed for mooring to load: port drivers, which other packages may add."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType


@cache
def installed_port_drivers() -> Mapping[str, EntryPoint]:
    """Return the entry points of the group ``mooring.port_drivers`` by name; they are looked for once."""
    return MappingProxyType({entry.name: entry for entry in entry_points(group="mooring.port_drivers")})
