"""The Docker networks that containers of the service are on: made when one is needed, removed when none is."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection, Iterator
from typing import Final

import structlog

from mooring.errors import EngineRefused
from mooring.node.containers.runtime import Link, Runtime

_PREFIX: Final = "mooring-"

log = structlog.get_logger(__name__)


class ServiceNetworks:
    """One Docker network for each Neutron network, and further ones where a container has several ports on it.

    ``wanted`` returns the Neutron networks that containers are wanted on.
    """

    def __init__(self, runtime: Runtime, wanted: Callable[[], Collection[str]]) -> None:
        self._runtime = runtime
        self._wanted = wanted
        self._lock = threading.Lock()
        self._refused: dict[str, str] = {}

    def provide(self, network_id: str, port_id: str, *, service: str, beside: Collection[str]) -> Link:
        """Return where to connect a port; ``beside`` are the networks that its container is on already.

        Docker connects a container to each network once.
        """
        name = next(name for name in _names(network_id) if name not in beside)
        with self._lock:
            if name not in self._runtime.networks(service):
                self._runtime.create_network(name, network_id, service)
        return Link(network=name, port_id=port_id)

    def prune(self, service: str) -> bool:
        """Remove the networks that no container is on, running or not, or is to be on; tell whether all have gone."""
        with self._lock:
            in_use = {name for container in self._runtime.containers() for name in container.networks}
            unused = [
                name
                for name, network_id in self._runtime.networks(service).items()
                if name not in in_use and network_id not in self._wanted()
            ]
            self._refused = {name: problem for name in unused if (problem := self._removed(name)) is not None}
            return not self._refused

    def _removed(self, name: str) -> str | None:
        """Remove a network, or return why the engine does not: somebody may have put a container of their own on it."""
        try:
            self._runtime.remove_network(name)
        except EngineRefused as exc:
            if str(exc) != self._refused.get(name):
                log.warning("network.not-removed", network=name, error=str(exc))
            return str(exc)
        return None


def _names(network_id: str) -> Iterator[str]:
    yield f"{_PREFIX}{network_id}"
    for number in itertools.count(2):
        yield f"{_PREFIX}{network_id}-{number}"
