"""The Docker networks that containers of the service are on: made when one is needed, removed when none is."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection
from typing import Final

import structlog

from mooring.errors import EngineRefused
from mooring.node.containers.runtime import Link, Runtime

_PREFIX: Final = "mooring-"
_NAME: Final = re.compile(rf"{_PREFIX}(\d\d)-")
_POSITIONS: Final = 100

log = structlog.get_logger(__name__)


class ServiceNetworks:
    """A Docker network for each Neutron network and each position of an interface in a container.

    Docker orders a container's interfaces, at each of its starts, by the names of the networks that it is on: so the
    position comes first in the name. And it connects a container to each network once: so is each position.

    ``wanted`` returns the Neutron networks that containers are about to be connected to.
    """

    def __init__(self, runtime: Runtime, wanted: Callable[[], Collection[str]]) -> None:
        self._runtime = runtime
        self._wanted = wanted
        self._lock = threading.Lock()
        self._refused: dict[str, str] = {}

    def provide(self, network_id: str, port_id: str, *, service: str, beside: Collection[str]) -> Link:
        """Return where to connect a port, so that it comes after those networks that its container is on already."""
        name = f"{_PREFIX}{_position_after(beside):02}-{network_id}"
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


def _position_after(names: Collection[str]) -> int:
    taken = {int(found[1]) for name in names if (found := _NAME.match(name))}
    after = max(taken, default=-1) + 1
    # Two digits are for far more interfaces than a container has, unless they came and went often.
    return after if after < _POSITIONS else min(set(range(_POSITIONS)) - taken)
