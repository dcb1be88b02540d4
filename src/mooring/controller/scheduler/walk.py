"""Going through the hosts of a database a few at a time."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Sequence

from mooring.controller.scheduler.prospect import Wish
from mooring.db.api import Candidate, Hosts

_FIRST, _LARGEST = 4, 800


def hosts_with_room(hosts: Hosts, wish: Wish, rng: random.Random) -> Iterator[Sequence[Candidate]]:
    """Yield the hosts that might do, each once, in the order of their uuids from a random one on.

    The first batch is small, so that what is found at once is found fast; each further one is twice as large. The last
    hosts are in one batch with the first ones: few hosts are all compared with each other.
    """
    start = str(uuid.UUID(int=rng.getrandbits(128)))
    after, size, has_wrapped = start, _FIRST, False
    batch: list[Candidate] = []
    while True:
        found = _candidates(hosts, wish, after=after, limit=size, with_room=True)
        if has_wrapped:
            found = [candidate for candidate in found if candidate.host.uuid <= start]
        batch += found
        if len(found) == size:
            yield batch
            after, size, batch = found[-1].host.uuid, min(2 * size, _LARGEST), []
        elif has_wrapped:
            break
        else:
            after, has_wrapped = "", True
    if batch:
        yield batch


def all_hosts(hosts: Hosts, wish: Wish) -> Iterator[Sequence[Candidate]]:
    """Yield all hosts, whether they might do or not."""
    after = ""
    while found := _candidates(hosts, wish, after=after, limit=_LARGEST, with_room=False):
        yield found
        after = found[-1].host.uuid


def _candidates(hosts: Hosts, wish: Wish, *, after: str, limit: int, with_room: bool) -> Sequence[Candidate]:
    return hosts.candidates(
        wish.requests,
        after=after,
        limit=limit,
        alive_since=wish.alive_since,
        only=wish.host,
        with_room=with_room,
    )
