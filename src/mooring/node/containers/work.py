"""One operation under way, and what may keep it from its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mooring.container.states import TaskState
from mooring.rpc.messages import WantedContainer


class NotYet(Exception):
    """An operation cannot come to its end now, and is to be taken up again later."""


class Superseded(Exception):
    """Something else is wanted of the container by now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One operation under way. ``check`` raises Superseded; ``tell`` says at which step it is, None: at none."""

    wanted: WantedContainer
    check: Callable[[], None]
    tell: Callable[[TaskState | None], None]

    @property
    def uuid(self) -> str:
        """The container's."""
        return self.wanted.uuid

    @property
    def number(self) -> int:
        """The operation's."""
        return self.wanted.operation.number

    def argument(self, name: str, default: str | int | bool) -> str | int | bool:  # noqa: FBT001 - any of its types
        """Return an argument of the operation."""
        return self.wanted.operation.arguments.get(name, default)
