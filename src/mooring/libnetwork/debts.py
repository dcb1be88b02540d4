"""What Neutron is owed: work that is written down, and done when Neutron answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import structlog

from mooring.errors import EdgeFailure, NeutronUnreachable

T = TypeVar("T")

log = structlog.get_logger(__name__)


@contextmanager
def owing(event: str, **facts: str) -> Iterator[None]:
    """Put up with a failing Neutron: what was to be done is written down, and tried again later."""
    try:
        yield
    except EdgeFailure as exc:
        log.warning(event, error=str(exc), **facts)


def pay_each(debts: Iterable[T], pay: Callable[[T], None]) -> None:
    """Try every debt once; one that Neutron refuses does not hold up the others, silence ends the round."""
    for debt in debts:
        try:
            pay(debt)
        except NeutronUnreachable as exc:
            log.warning("debts.deferred", error=str(exc))
            return
        except EdgeFailure as exc:
            log.warning("debt.refused", error=str(exc))
