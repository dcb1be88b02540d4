"""Filters for what a host has so and so much of: processors, memory, disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mooring.config.settings import SchedulerSettings
from mooring.container.spec import ContainerSpec
from mooring.controller.scheduler.prospect import Prospect
from mooring.db.api import ROUNDING, Capacity, Host


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountFilter:
    """The host has enough of something left. It may promise ``ratio`` times what it has, but never all to one."""

    name: str
    unit: str
    field: Literal["cpus", "memory_mib", "disk_gib"]
    ratio: float
    asked: Callable[[ContainerSpec], float]
    total: Callable[[Host], float]
    used: Callable[[Host], float]

    def admits(self, prospect: Prospect) -> bool:
        """Tell whether the host may take the container."""
        return self.asked(prospect.wish.spec) <= self._free(prospect.host) + ROUNDING

    def explain(self, refused: Sequence[Prospect]) -> str:
        """Say why hosts were turned away."""
        most = max(self._free(prospect.host) for prospect in refused)
        return f"{self.asked(refused[0].wish.spec):g} {self.unit} asked, {max(most, 0):g} free at most"

    def limit(self, host: Host) -> float:
        """Return how much a host may promise in all."""
        return self.total(host) * self.ratio

    def _free(self, host: Host) -> float:
        # Docker refuses a container that is to have more than there is, whatever others leave.
        return min(self.total(host), self.limit(host) - self.used(host))


def cpu_filter(settings: SchedulerSettings) -> AmountFilter:
    """Return the filter for processors."""
    return AmountFilter(
        name="CPUFilter",
        unit="processors",
        field="cpus",
        ratio=settings.cpu_ratio,
        asked=lambda spec: spec.cpu,
        total=lambda host: host.facts.cpus,
        used=lambda host: host.used_cpus,
    )


def ram_filter(settings: SchedulerSettings) -> AmountFilter:
    """Return the filter for memory."""
    return AmountFilter(
        name="RamFilter",
        unit="MiB of memory",
        field="memory_mib",
        ratio=settings.memory_ratio,
        asked=lambda spec: spec.memory_mib,
        total=lambda host: host.facts.memory_mib,
        used=lambda host: host.used_memory_mib,
    )


def disk_filter(settings: SchedulerSettings) -> AmountFilter:
    """Return the filter for disk; a container that does not say how much it needs counts for nothing."""
    return AmountFilter(
        name="DiskFilter",
        unit="GiB of disk",
        field="disk_gib",
        ratio=settings.disk_ratio,
        asked=lambda spec: spec.disk_gib or 0,
        total=lambda host: host.facts.disk_gib,
        used=lambda host: host.used_disk_gib,
    )


def capacity(host: Host, filters: Iterable[object]) -> Capacity:
    """Return what a host may promise in all, as far as filters limit it."""
    return Capacity(**{each.field: each.limit(host) for each in filters if isinstance(each, AmountFilter)})


def whole(host: Host, filters: Iterable[object]) -> Capacity:
    """Return what a host may promise to one container, as far as filters limit it."""
    return Capacity(**{each.field: each.total(host) for each in filters if isinstance(each, AmountFilter)})
