"""What a person sees while the lab works: one line per stage, with its time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


class Progress:
    """Prints stages as they end; the running one is shown on a terminal only."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begin = time.monotonic()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Show ``name`` while the block runs, then its time and the time since the beginning."""
        start = time.monotonic()
        with self._console.status(name):
            yield
        now = time.monotonic()
        self._console.print(f"{name:<36} {now - start:6.1f} s   at {now - self._begin:6.1f} s", highlight=False)
