"""``mooring node``, killed right before or after a write to its journal. Runs in a lab guest, for test_crash.py.

The order is a file of two words, such as ``after programming``. It is torn up as it is obeyed, so that the daemon that
the service manager starts next works on.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from mooring.attach.journal import Journal
from mooring.attach.types import Lease
from mooring.cli.main import main

ORDER = Path("/run/mooring-crash")
END = "end"

Write = Callable[..., Any]


def obey(moment: str, word: str) -> None:
    if ORDER.exists() and ORDER.read_text() == f"{moment} {word}":
        ORDER.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def deadly(write: Write, word: Callable[[Lease], str]) -> Write:
    @wraps(write)
    def written(journal: Journal, lease: Lease, **details: object) -> object:
        obey("before", word(lease))
        outcome = write(journal, lease, **details)
        obey("after", word(lease))
        return outcome

    return written


if __name__ == "__main__":
    words: dict[str, Callable[[Lease], str]] = {
        "add": lambda lease: lease.step.value,
        "save": lambda lease: lease.step.value,
        "end": lambda _: END,
    }
    for write, word in words.items():
        setattr(Journal, write, deadly(getattr(Journal, write), word))
    main()
