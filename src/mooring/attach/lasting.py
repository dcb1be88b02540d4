"""How long something has been seen to last, round after round."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
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
