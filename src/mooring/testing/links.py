"""Virtual links in memory: pairs, macvtaps and bridges, and what dies together with what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mooring.testing.igb import FakeInterface


@dataclass(slots=True, kw_only=True, eq=False)
class FakeLink(FakeInterface):
    """A link that has no device of its own: ``peer`` is a veth's other end, ``lower`` what a macvtap stands on.

    ``master`` is the bridge that it is a port of.
    """

    kind: str
    peer: FakeLink | None = None
    lower: FakeInterface | None = None
    master: str | None = None


class FakeLinks:
    """The virtual links of a host and of its containers."""

    def __init__(self) -> None:
        self._links: list[FakeLink] = []

    def __iter__(self) -> Iterator[FakeLink]:
        return iter(self._links)

    def add(self, link: FakeLink) -> FakeLink:
        """Make a link."""
        self._links.append(link)
        return link

    def find(self, name: str, namespace: str | None = None) -> FakeLink | None:
        """Return the link with this name in a namespace."""
        return next((link for link in self._links if (link.name, link.namespace) == (name, namespace)), None)

    def above(self, lower: FakeInterface | None) -> tuple[FakeLink, ...]:
        """Return the macvtaps on an interface, wherever they are."""
        return tuple(link for link in self._links if lower is not None and link.lower is lower)

    def delete(self, link: FakeLink) -> None:
        """Take a link away; the other end of a pair dies with it, and a bridge's ports are free."""
        self._links = [other for other in self._links if other is not link and other is not link.peer]
        for other in self._links:
            if link.kind == "bridge" and other.master == link.name:
                other.master = None

    def die(self, namespace: str) -> None:
        """End a namespace: no virtual link survives its own."""
        for link in [link for link in self._links if link.namespace == namespace]:
            self.delete(link)
