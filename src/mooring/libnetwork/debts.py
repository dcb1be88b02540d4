"""What Neutron is owed: work that is written down, and done when Neutron answers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import structlog

from mooring.attach.lasting import Turns
from mooring.errors import EdgeFailure, NeutronUnreachable

T = TypeVar("T", bound=Hashable)

log = structlog.get_logger(__name__)


@contextmanager
def owing(event: str, **facts: str) -> Iterator[None]:
    """Put up with a failing Neutron: what was to be done is written down, and tried again later."""
    try:
        yield
    except EdgeFailure as exc:
        log.warning(event, error=str(exc), **facts)


class Debts(Generic[T]):
    """Debts of one kind, and how each is paid. Not for several threads at once."""

    def __init__(self, pay: Callable[[T], None]) -> None:
        self._pay = pay
        self._turns: Turns[T] = Turns()

    def pay(self, debts: Iterable[T]) -> None:
        """Try every debt once; one that Neutron refuses does not hold up the others, silence ends the round."""
        for debt in self._turns.each(debts):
            try:
                self._pay(debt)
            except NeutronUnreachable as exc:
                log.warning("debts.deferred", error=str(exc))
                return
            except EdgeFailure as exc:
                log.warning("debt.refused", error=str(exc))
