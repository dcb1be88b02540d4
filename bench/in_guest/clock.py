"""Timing in a guest: what a step takes by the clock, and what of it our own process computes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager


def at_rest() -> None:
    """Return when udev has dealt with every event so far: its workers share our processor."""
    subprocess.run(["udevadm", "settle"], check=True)


class Stopwatch:
    """Collects samples, in milliseconds, by name: ``{name: {"ms": [...], "processor_ms": [...]}}``.

    Processor time is this process's, all its threads together and the kernel's work for it included.
    """

    def __init__(self) -> None:
        self.samples: dict[str, dict[str, list[float]]] = {}

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Time what is done within; what fails leaves no sample."""
        began, processor = time.perf_counter(), time.process_time()
        yield
        sample = self.samples.setdefault(name, {"ms": [], "processor_ms": []})
        sample["ms"].append((time.perf_counter() - began) * 1000)
        sample["processor_ms"].append((time.process_time() - processor) * 1000)
