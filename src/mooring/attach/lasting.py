"""How long something has been seen to last, round after round, and how long ago or how often it was tried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, TypeVar

_T = TypeVar("_T", bound=Hashable)


class Lasting(Generic[_T]):
    """Remembers since when each thing was seen in every round; one round without it forgets it.

    ``clock`` tells seconds and never goes back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[_T, float] = {}

    def seen(self, things: Iterable[_T], *, for_s: float) -> set[_T]:
        """Note what this round has seen; return what has lasted for so many seconds."""
        now = self._clock()
        self._since = {thing: self._since.get(thing, now) for thing in things}
        return {thing for thing, since in self._since.items() if now - since >= for_s}


class Paced(Generic[_T]):
    """Lets each thing be tried once in so many seconds, however often the rounds are."""

    def __init__(self, clock: Callable[[], float], *, every_s: float) -> None:
        self._clock = clock
        self._every_s = every_s
        self._tried: dict[_T, float] = {}

    def is_due(self, thing: _T) -> bool:
        """Tell whether a thing may be tried now, and take it that it is."""
        now = self._clock()
        self._tried = {other: when for other, when in self._tried.items() if now - when < self._every_s}
        if thing in self._tried:
            return False
        self._tried[thing] = now
        return True

    def forget(self, thing: _T) -> None:
        """Take it that a thing was not tried: it has succeeded."""
        self._tried.pop(thing, None)


class Turns(Generic[_T]):
    """Gives everything its turn at a neighbour that may be silent about one thing only, round after round."""

    def __init__(self) -> None:
        self._tries: Counter[_T] = Counter()

    def each(self, things: Iterable[_T]) -> Iterator[_T]:
        """Yield the things of this round, those first that were yielded least often; whoever meets silence may stop."""
        waiting = tuple(things)
        self._tries = Counter({thing: self._tries[thing] for thing in waiting})
        for thing in sorted(waiting, key=self._tries.__getitem__):
            self._tries[thing] += 1
            yield thing
