"""Unit tests keep their files in memory: half their time would be waiting for a disk that proves nothing here."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.messaging import library

MEMORY = Path("/dev/shm")

if MEMORY.is_dir():
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_collection_finish() -> None:
    """Have the garbage collector look at what tests make, and not at all that was imported for them each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def prompt_workers() -> Iterator[None]:
    """Let oslo.messaging's idle threads look soon whether they are to end; by themselves they do so each second."""
    library()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("futurist._thread.ThreadWorker.MAX_IDLE_FOR", 0.02)
        yield
