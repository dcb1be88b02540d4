"""How long something has been seen to last, round after round."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable


class Lasting:
    """Remembers since when each thing was seen in every round; one round without it forgets it.

    ``clock`` tells seconds and never goes back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[Hashable, float] = {}

    def seen(self, things: Iterable[Hashable], *, for_s: float) -> set[Hashable]:
        """Note what this round has seen; return what has lasted for so many seconds."""
        now = self._clock()
        self._since = {thing: self._since.get(thing, now) for thing in things}
        return {thing for thing, since in self._since.items() if now - since >= for_s}
