"""The filters and weighers that there are, by the names that a configuration uses: Zun's for filters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from mooring.errors import InvalidConfiguration
from mooring.suggestions import suggest

FILTERS: Final = (
    "AvailabilityZoneFilter",
    "ComputeFilter",
    "RuntimeFilter",
    "LabelFilter",
    "CpuSetFilter",
    "CPUFilter",
    "RamFilter",
    "DiskFilter",
    "PciPassthroughFilter",
)

DEFAULT_FILTERS: Final = tuple(name for name in FILTERS if name != "CpuSetFilter")

INDISPENSABLE_FILTERS: Final = ("ComputeFilter", "CpuSetFilter", "PciPassthroughFilter")
"""These apply, last, where a configuration leaves them out: without them a container is placed where it cannot run."""

MULTIPLIERS: Final[Mapping[str, float]] = MappingProxyType({"spread": 1.0, "sparing": 1.0, "locality": 1.0})
"""Each weigher with what it counts for by default. A weigher gives a host 0 to 1, times its multiplier; most wins.

``spread`` is for hosts with much of what is asked left, and packs if negative. ``sparing`` keeps containers that take
no device away from hosts with free VFs. ``locality`` is for hosts where several devices come from one card, or at least
from one NUMA node.
"""


def check_filters(names: Iterable[str]) -> None:
    """Raise InvalidConfiguration for a filter that nobody knows."""
    for name in names:
        if name not in FILTERS:
            raise InvalidConfiguration(
                f"[scheduler] enabled_filters: no filter is named {name}; {suggest(name, FILTERS)}"
            )


def check_multipliers(names: Iterable[str]) -> None:
    """Raise InvalidConfiguration for a weigher that nobody knows."""
    for name in names:
        if name not in MULTIPLIERS:
            raise InvalidConfiguration(f"[scheduler] no weigher is named {name}; {suggest(name, MULTIPLIERS)}")
