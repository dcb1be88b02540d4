"""Who is told how attaching goes: the daemon's metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from mooring.errors import MooringError

_CRASHED = "error"


class Observer(Protocol):
    """Told of each step and each finding, in the thread that made it; must not block."""

    def step(self, verb: str, step: str, outcome: str, seconds: float) -> None:
        """Take note of a step of ``attach`` or ``detach``; ``outcome`` is ok or an error's code."""
        ...

    def finding(self, kind: str) -> None:
        """Take note of something that reconciling has found for the first time."""
        ...


class Nobody:
    """The observer of a process that keeps no metrics."""

    def step(self, verb: str, step: str, outcome: str, seconds: float) -> None:
        """Take no note."""

    def finding(self, kind: str) -> None:
        """Take no note."""


@contextmanager
def observed(observer: Observer, verb: str, step: str) -> Iterator[None]:
    """Tell the observer how long the body took, and how it ended."""
    outcome, began = "ok", time.monotonic()
    try:
        yield
    except MooringError as exc:
        outcome = exc.code
        raise
    except BaseException:
        outcome = _CRASHED
        raise
    finally:
        observer.step(verb, step, outcome, time.monotonic() - began)
