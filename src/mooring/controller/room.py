"""Room for containers that grow on the host that they are on, by the filters with which new ones find it."""

from __future__ import annotations

from typing import Final

from mooring.config.settings import SchedulerSettings
from mooring.container.model import Container
from mooring.controller.scheduler.amounts import capacity, whole
from mooring.controller.scheduler.filters import make_filters
from mooring.db.api import Store


class HostRoom:
    """Writes containers that ask for more or less than before, where their hosts have that."""

    def __init__(self, *, store: Store, settings: SchedulerSettings) -> None:
        self._store: Final = store
        self._filters: Final = make_filters(settings)

    def save(self, container: Container) -> Container:
        """Write a container as ``Containers.grow`` does."""
        host = self._store.host(container.host or "")
        return self._store.grow(container, capacity=capacity(host, self._filters), whole=whole(host, self._filters))
