"""Why no host would take a container."""

from __future__ import annotations

from collections.abc import Mapping

from mooring.controller.scheduler.filters import Filter
from mooring.controller.scheduler.prospect import Prospect

_MOST_TOLD = 3


class Refusals:
    """Hosts that will not do, by the filter that turned each away first; ``left_out`` are those not asked, with why."""

    def __init__(self, filters: tuple[Filter, ...], left_out: Mapping[str, str]) -> None:
        self._left_out = left_out
        self._by_filter: dict[Filter, list[Prospect]] = {each: [] for each in filters}
        self._passed_over: list[str] = []

    def add(self, prospect: Prospect) -> bool:
        """Note a host and tell whether it will not do; one that will is not noted."""
        if prospect.host.name in self._left_out:
            self._passed_over.append(self._left_out[prospect.host.name])
            return True
        for each, refused in self._by_filter.items():
            if not each.admits(prospect):
                refused.append(prospect)
                return True
        return False

    def tell(self) -> str:
        """Return the reasons with counts: ``2 hosts: 1 ComputeFilter (no report for 240 s), 1 ...``."""
        reasons = [
            f"{len(refused)} {each.name} ({each.explain(refused)})"
            for each, refused in self._by_filter.items()
            if refused
        ]
        if self._passed_over:
            causes = list(dict.fromkeys(self._passed_over))
            more = f"; and {len(causes) - _MOST_TOLD} more" if len(causes) > _MOST_TOLD else ""
            reasons.append(f"{len(self._passed_over)} tried ({'; '.join(causes[:_MOST_TOLD])}{more})")
        count = sum(map(len, self._by_filter.values())) + len(self._passed_over)
        return f"{count} host{'' if count == 1 else 's'}: {', '.join(reasons)}"

    def __bool__(self) -> bool:
        return any(self._by_filter.values()) or bool(self._passed_over)
