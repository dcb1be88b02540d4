"""Room for containers that grow on the host that they are on, by the filters with which new ones find it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mooring.config.settings import SchedulerSettings
from mooring.container.model import Container
from mooring.controller.scheduler.amounts import AmountFilter, capacity
from mooring.controller.scheduler.filters import Filter, make_filters
from mooring.db.api import Host, Store
from mooring.errors import NoRoom


class HostRoom:
    """Writes containers that ask for more or less than before, where their hosts have that."""

    def __init__(self, *, store: Store, settings: SchedulerSettings) -> None:
        self._store: Final = store
        self._filters: Final = make_filters(settings)

    def save(self, container: Container) -> Container:
        """Write a container as ``Containers.grow`` does. Raises NoRoom, too, for more than its whole host has."""
        host = self._store.host(container.host or "")
        _require_enough(container, host, self._filters)
        return self._store.grow(container, capacity=capacity(host, self._filters))


def _require_enough(container: Container, host: Host, filters: Sequence[Filter]) -> None:
    for each in filters:
        if isinstance(each, AmountFilter) and each.asked(container.spec) > each.total(host):
            raise NoRoom(each.unit, wanted=each.asked(container.spec), free=each.total(host))
