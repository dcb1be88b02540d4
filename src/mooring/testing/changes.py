"""The changes of a fake host, for whoever listens (Kernel.events)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from mooring.host.kernel import HostEvents

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Changes:
    """How often the host changed."""

    def __init__(self) -> None:
        self.count = 0
        self.happened = threading.Condition()

    def tell(self) -> None:
        """Wake all who listen."""
        with self.happened:
            self.count += 1
            self.happened.notify_all()

    @contextmanager
    def listen(self) -> Iterator[HostEvents]:
        """Listen from now on."""
        yield _Listener(self)


class _Listener:
    """HostEvents: remembers up to which change it has heard."""

    def __init__(self, changes: Changes) -> None:
        self._changes, self._heard = changes, changes.count

    def wait(self, seconds: float) -> bool:
        with self._changes.happened:
            told = self._changes.happened.wait_for(lambda: self._changes.count != self._heard, seconds)
            self._heard = self._changes.count
        return told


class _Changing(Protocol):
    changes: Changes


_H = TypeVar("_H", bound=_Changing)


def change(method: Callable[Concatenate[_H, _P], _R]) -> Callable[Concatenate[_H, _P], _R]:
    """Tell of a change, also when the method failed half-way."""

    @wraps(method)
    def telling(self: _H, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return method(self, *args, **kwargs)
        finally:
            self.changes.tell()

    return telling
