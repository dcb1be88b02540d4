"""A cluster in a database, the clients that place containers there, and what they did in one round."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TypeVar

from bench.schedule_client import Outcome, add_containers, claim_bare, place_added
from bench.schedule_inventory import claimed, free_devices, server_processes
from mooring.container.model import Container

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What clients did at the same time; ``server_s`` is the processor time that the database took."""

    seconds: float
    server_s: float
    outcomes: Sequence[Outcome]

    @property
    def count(self) -> int:
        """How many containers got their device."""
        return len(self.both_ms)

    @property
    def both_ms(self) -> Sequence[float]:
        """Milliseconds that placing and claiming took, for each container."""
        return list(chain(*(outcome.both_ms for outcome in self.outcomes)))

    @property
    def ms_per_claim(self) -> float:
        """Milliseconds of the whole round for each container."""
        return self.seconds * 1000 / self.count

    @property
    def client_ms(self) -> float:
        """Milliseconds of processor time that the clients took for each container."""
        return sum(outcome.processor_ms for outcome in self.outcomes) / self.count

    @property
    def server_ms(self) -> float:
        """Milliseconds of processor time that the database took for each container."""
        return self.server_s * 1000 / self.count

    @property
    def races_lost(self) -> int:
        """How many claims came too late."""
        return sum(outcome.races_lost for outcome in self.outcomes)


@dataclass(slots=True, kw_only=True)
class Cluster:
    """A cluster in a database, and the clients that place containers there; ``taken`` is what they got so far."""

    url: str
    hosts: int
    clients: ProcessPoolExecutor
    taken: list[int]

    def place(self, count: int, *, clients: int) -> Round:
        """Have clients place containers at the same time."""
        shares = self._add_containers(count, clients)
        return self._run(partial(place_added, self.url), shares)

    def claim_bare(self, count: int, *, clients: int) -> Round:
        """Have clients write as many containers and devices, of which they know which ones, and nothing else."""
        shares = self._add_containers(count, clients)
        devices = iter(free_devices(self.url, count))
        return self._run(partial(claim_bare, self.url), [list(zip(share, devices, strict=False)) for share in shares])

    def _add_containers(self, count: int, clients: int) -> list[list[Container]]:
        return list(self.clients.map(partial(add_containers, self.url), [count // clients] * clients))

    def _run(self, work: Callable[[T], Outcome], shares: Sequence[T]) -> Round:
        before, began = server_processes(self.url), time.monotonic()
        outcomes = list(self.clients.map(work, shares))
        seconds, after = time.monotonic() - began, server_processes(self.url)
        self.taken += [device for outcome in outcomes for device in outcome.devices]
        assert len(self.taken) == len(set(self.taken)), "a device was had twice"
        assert set(self.taken) == claimed(self.url), "the database knows of other claims"
        server_s = sum(after[process] - taken for process, taken in before.items() if process in after)
        return Round(seconds=seconds, server_s=server_s, outcomes=outcomes)
