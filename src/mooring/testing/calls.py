"""Calls that are counted, so that a test can let the n-th one fail."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from mooring.errors import KernelRefused, MooringError

_P = ParamSpec("_P")
_R = TypeVar("_R")
_S = TypeVar("_S", bound="CountedCalls")


@dataclass(frozen=True, slots=True)
class _Failure:
    call: int
    reply_lost: bool
    error: int


class CountedCalls:
    """A neighbour in memory. ``calls`` counts the calls of its protocol."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.calls = 0
        self.failure: _Failure | None = None

    def fail_call(self, n: int, *, reply_lost: bool = False, error: int = errno.EIO) -> None:
        """Let the n-th call from now fail: refused, or done with the reply lost."""
        self.failure = _Failure(self.calls + n, reply_lost, error)

    def refusal(self, doing: str, error: int, hint: str = "") -> MooringError:
        """Return the error that a failing call raises."""
        return KernelRefused(doing, "the fake kernel", error, hint)


def counted(method: Callable[Concatenate[_S, _P], _R]) -> Callable[Concatenate[_S, _P], _R]:
    """Count a call of the protocol, and let it fail when it is that call's turn."""

    @wraps(method)
    def call(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with self.lock:
            self.calls += 1
            failure = self.failure if self.failure and self.failure.call == self.calls else None
            if failure and not failure.reply_lost:
                raise self.refusal(method.__name__, failure.error)
            answer = method(self, *args, **kwargs)
            if failure:
                raise self.refusal(method.__name__, failure.error, "it was done all the same")
            return answer

    return call
