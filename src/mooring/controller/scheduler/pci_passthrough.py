"""The filter for devices: the host has free ones for all that a container requests, together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from mooring.controller.scheduler.picking import pick
from mooring.controller.scheduler.prospect import Prospect
from mooring.pci.requests import DeviceRequest, NumaPolicy


class PciPassthroughFilter:
    """The host has free devices for all requests of the container, together."""

    name: Final = "PciPassthroughFilter"

    def admits(self, prospect: Prospect) -> bool:
        """Tell whether the host may take the container."""
        return prospect.picks is not None

    def explain(self, refused: Sequence[Prospect]) -> str:
        """Say why hosts were turned away, with the sums over them: ``0 of 14 VFs free on physnet1``."""
        kinds = _by_kind(refused[0].wish.requests)
        short = [prospect for prospect in refused if _lacking(prospect, kinds)]
        reasons = [_shortage(kinds, short)] if short else []
        if len(short) < len(refused):
            reasons += dict.fromkeys(_conflict(prospect) for prospect in refused if not _lacking(prospect, kinds))
        return "; ".join(reasons)


def _by_kind(requests: Sequence[DeviceRequest]) -> Mapping[str, Sequence[DeviceRequest]]:
    """Put together the requests that a message calls the same."""
    kinds: dict[str, list[DeviceRequest]] = {}
    for wish in requests:
        kinds.setdefault(wish.label, []).append(wish)
    return kinds


def _lacking(prospect: Prospect, kinds: Mapping[str, Sequence[DeviceRequest]]) -> list[str]:
    """Name the kinds of which a host has fewer devices free than are requested."""
    return [label for label, wishes in kinds.items() if _counts(prospect, wishes[0])[1] < len(wishes)]


def _shortage(kinds: Mapping[str, Sequence[DeviceRequest]], short: Sequence[Prospect]) -> str:
    """Say how many devices there are of the kinds that hosts have too few of, and how many are free."""
    lacking = {label for prospect in short for label in _lacking(prospect, kinds)}
    sentences, is_scattered = [], True
    for label, wishes in kinds.items():
        if label in lacking:
            counts = [_counts(prospect, wishes[0]) for prospect in short]
            free, wanted = sum(count[1] for count in counts), len(wishes)
            is_scattered = is_scattered and free >= wanted
            sentences.append(
                f"{free} of {sum(count[0] for count in counts)} {label}" + (f", {wanted} wanted" if wanted > 1 else "")
            )
    return " and ".join(sentences) + (", but not on one host" if is_scattered else "")


def _conflict(prospect: Prospect) -> str:
    """Say why free devices do not do, although there are enough for each request by itself."""
    lenient = [replace(wish, numa_policy=NumaPolicy.LEGACY) for wish in prospect.wish.requests]
    if pick(lenient, prospect.candidate.free) is not None:
        return "free devices are not of one NUMA node"
    return "free devices serve each request, but not all at once"


def _counts(prospect: Prospect, wish: DeviceRequest) -> tuple[int, int]:
    return prospect.candidate.counts.get(wish.id, (0, 0))
