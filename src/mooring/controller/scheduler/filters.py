"""What a host must be to take a container: Zun's filters, by Zun's names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from mooring.config.settings import SchedulerSettings
from mooring.controller.scheduler.amounts import cpu_filter, disk_filter, ram_filter
from mooring.controller.scheduler.names import INDISPENSABLE_FILTERS, check_filters
from mooring.controller.scheduler.pci_passthrough import PciPassthroughFilter
from mooring.controller.scheduler.prospect import Prospect
from mooring.db.api import Host


class Filter(Protocol):
    """A condition on hosts. ``name`` is what configurations and messages call it."""

    @property
    def name(self) -> str:
        """The filter's name."""
        ...

    def admits(self, prospect: Prospect) -> bool:
        """Tell whether the host may take the container."""
        ...

    def explain(self, refused: Sequence[Prospect]) -> str:
        """Say why hosts were turned away, for the container's owner; there is one of them at least."""
        ...


class AvailabilityZoneFilter:
    """The host is in the zone that the container asks for."""

    name: Final = "AvailabilityZoneFilter"

    def admits(self, prospect: Prospect) -> bool:
        """Tell whether the host may take the container."""
        return prospect.wish.spec.availability_zone in (None, prospect.host.facts.availability_zone)

    def explain(self, refused: Sequence[Prospect]) -> str:
        """Say why hosts were turned away."""
        return f"not in availability zone {refused[0].wish.spec.availability_zone}"


class ComputeFilter:
    """The host reports, and the operator lets containers be placed there."""

    name: Final = "ComputeFilter"

    def admits(self, prospect: Prospect) -> bool:
        """Tell whether the host may take the container."""
        host = prospect.host
        return not host.disabled and not host.forced_down and not _is_silent(prospect)

    def explain(self, refused: Sequence[Prospect]) -> str:
        """Say why hosts were turned away."""
        return ", ".join(_states(refused))


class RuntimeFilter:
    """The host has the container runtime that the container asks for."""

    name: Final = "RuntimeFilter"

    def admits(self, prospect: Prospect) -> bool:
        """Tell whether the host may take the container."""
        runtime = prospect.wish.spec.runtime
        return runtime is None or runtime in prospect.host.facts.runtimes

    def explain(self, refused: Sequence[Prospect]) -> str:
        """Say why hosts were turned away."""
        return f"no runtime {refused[0].wish.spec.runtime}"


class LabelFilter:
    """The host has the labels that the container's hints ask for."""

    name: Final = "LabelFilter"

    def admits(self, prospect: Prospect) -> bool:
        """Tell whether the host may take the container."""
        labels = prospect.host.facts.labels
        return all(labels.get(key) == value for key, value in _wanted_labels(prospect.wish.spec.hints).items())

    def explain(self, refused: Sequence[Prospect]) -> str:
        """Say why hosts were turned away."""
        wanted = _wanted_labels(refused[0].wish.spec.hints)
        return "without label " + ", ".join(f"{key}={value}" for key, value in wanted.items())


class CpuSetFilter:
    """The container shares processors: no host gives any to one container alone."""

    name: Final = "CpuSetFilter"

    def admits(self, prospect: Prospect) -> bool:
        """Tell whether the host may take the container."""
        return prospect.wish.spec.cpu_policy != "dedicated"

    def explain(self, refused: Sequence[Prospect]) -> str:  # noqa: ARG002 - the same for all
        """Say why hosts were turned away."""
        return "dedicated processors are not served; ask for cpu_policy shared"


_MAKERS: Mapping[str, Callable[[SchedulerSettings], Filter]] = {
    AvailabilityZoneFilter.name: lambda _: AvailabilityZoneFilter(),
    ComputeFilter.name: lambda _: ComputeFilter(),
    RuntimeFilter.name: lambda _: RuntimeFilter(),
    LabelFilter.name: lambda _: LabelFilter(),
    CpuSetFilter.name: lambda _: CpuSetFilter(),
    "CPUFilter": cpu_filter,
    "RamFilter": ram_filter,
    "DiskFilter": disk_filter,
    PciPassthroughFilter.name: lambda _: PciPassthroughFilter(),
}


def make_filters(settings: SchedulerSettings) -> tuple[Filter, ...]:
    """Return the configured filters and those that are indispensable; raise InvalidConfiguration for an unknown one."""
    check_filters(settings.filters)
    names = dict.fromkeys((*settings.filters, *INDISPENSABLE_FILTERS))
    return tuple(_MAKERS[name](settings) for name in names)


def _is_silent(prospect: Prospect) -> bool:
    return prospect.host.seen_at < prospect.wish.alive_since


def _states(refused: Sequence[Prospect]) -> Iterator[str]:
    hosts: list[Host] = [prospect.host for prospect in refused]
    if any(host.forced_down for host in hosts):
        yield "forced down"
    if any(host.disabled for host in hosts):
        yield "disabled"
    if silent := [prospect for prospect in refused if _is_silent(prospect)]:
        shortest = min(prospect.wish.now - prospect.host.seen_at for prospect in silent)
        yield f"no report for {shortest.total_seconds():.0f} s" + (" or longer" if len(silent) > 1 else "")


def _wanted_labels(hints: Mapping[str, Any]) -> Mapping[str, str]:
    """Read ``"label:KEY": "VALUE"``, as Zun's client sends it, and ``"label": "KEY=VALUE"``."""
    wanted = {}
    for hint, value in hints.items():
        if hint.startswith("label:"):
            wanted[hint.removeprefix("label:")] = str(value)
        elif hint == "label":
            key, _, wish = str(value).partition("=")
            wanted[key] = wish
    return wanted
