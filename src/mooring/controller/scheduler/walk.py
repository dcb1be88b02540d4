"""Going through the hosts of a database a few at a time."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from mooring.controller.scheduler.prospect import Wish
from mooring.db.api import Candidate, Hosts

_FIRST, _LARGEST = 8, 800


def hosts_with_room(hosts: Hosts, wish: Wish, rng: random.Random) -> Iterator[Sequence[Candidate]]:
    """Yield the hosts that might do, each once, from a random one on.

    The first batch is small, so that what is found at once is found fast; each further one is twice as large.
    """
    first, last = hosts.row_span()
    # Few hosts are better compared with each other, all of them, than begun in their middle.
    start = rng.randint(first, last) if last - first >= _FIRST else first
    after, size, has_wrapped = start - 1, _FIRST, start == first
    batch: list[Candidate] = []
    while True:
        room = size - len(batch)
        found = _candidates(hosts, wish, after=after, limit=room, with_room=True)
        if has_wrapped and start > first:
            found = [candidate for candidate in found if candidate.host.row < start]
        batch += found
        if len(found) == room:
            yield batch
            after, size, batch = found[-1].host.row, min(2 * size, _LARGEST), []
        elif has_wrapped:
            break
        else:
            after, has_wrapped = first - 1, True
    if batch:
        yield batch


def all_hosts(hosts: Hosts, wish: Wish) -> Iterator[Sequence[Candidate]]:
    """Yield all hosts, whether they might do or not."""
    after = 0
    while found := _candidates(hosts, wish, after=after, limit=_LARGEST, with_room=False):
        yield found
        after = found[-1].host.row


def _candidates(hosts: Hosts, wish: Wish, *, after: int, limit: int, with_room: bool) -> Sequence[Candidate]:
    return hosts.candidates(
        wish.requests,
        after=after,
        limit=limit,
        alive_since=wish.alive_since,
        only=wish.host,
        with_room=with_room,
    )
