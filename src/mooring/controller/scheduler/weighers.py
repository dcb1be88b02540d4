"""Which of the hosts that will do is the best one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from mooring.controller.scheduler.picking import Locality, locality
from mooring.controller.scheduler.prospect import Prospect


class Weigher(Protocol):
    """Gives each of some hosts a weight from 0 to 1."""

    def __call__(self, prospects: Sequence[Prospect]) -> Sequence[float]:
        """Return the weights of hosts, in their order."""
        ...


def spread(prospects: Sequence[Prospect]) -> Sequence[float]:
    """Prefer hosts with much left of what is asked: devices of the kinds requested, else processors and memory."""
    return [_devices_left(each) if each.wish.requests else _amounts_left(each) for each in prospects]


def sparing(prospects: Sequence[Prospect]) -> Sequence[float]:
    """Keep a container that takes no device away from hosts that have free VFs."""
    most = max(each.candidate.spare_devices for each in prospects)
    return [1.0 if each.wish.requests or not most else 1 - each.candidate.spare_devices / most for each in prospects]


def near(prospects: Sequence[Prospect]) -> Sequence[float]:
    """Prefer hosts where all devices come from one card, or at least from one NUMA node."""
    return [locality(each.picks or {}) / Locality.CARD for each in prospects]


WEIGHERS: Final[Mapping[str, Weigher]] = {"spread": spread, "sparing": sparing, "locality": near}


def weigh(prospects: Sequence[Prospect], multipliers: Mapping[str, float]) -> Sequence[float]:
    """Return what hosts weigh in all, in their order; there is one at least."""
    columns = [
        [weight * multiplier for weight in WEIGHERS[name](prospects)] for name, multiplier in multipliers.items()
    ]
    return [sum(weights) for weights in zip(*columns, strict=True)]


def _devices_left(prospect: Prospect) -> float:
    counts = [prospect.candidate.counts[wish.id] for wish in prospect.wish.requests]
    return sum(free / max(total, 1) for total, free in counts) / len(counts)


def _amounts_left(prospect: Prospect) -> float:
    host = prospect.host
    used = host.used_cpus / max(host.facts.cpus, 1), host.used_memory_mib / max(host.facts.memory_mib, 1)
    return sum(1 / (1 + fraction) for fraction in used) / len(used)
