"""``mooring node``, killed right before or after it writes something down. Runs in a lab guest.

The order is a file of two words, such as ``after programming`` (a lease's step, in the journal) or ``before
finish-start`` (the end of an operation, in the memory of the containers' agent). It is torn up as it is obeyed, so that
the daemon that the service manager starts next works on.
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
from mooring.node.containers.memory import Memory
from mooring.rpc.messages import Done, WantedContainer

ORDER = Path("/run/mooring-crash")
END = "end"

Write = Callable[..., Any]


def obey(moment: str, word: str) -> None:
    if ORDER.exists() and ORDER.read_text() == f"{moment} {word}":
        ORDER.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def make_deadly(owner: type, write: str, word: Callable[..., str]) -> None:
    """Have a method obey orders; ``word`` tells from what it is called with which ones."""
    method: Write = getattr(owner, write)

    @wraps(method)
    def written(*what: object, **details: object) -> object:
        named = word(*what)
        obey("before", named)
        outcome = method(*what, **details)
        obey("after", named)
        return outcome

    setattr(owner, write, written)


def step_of(_: Journal, lease: Lease) -> str:
    return lease.step.value


def wanted_verb(_: Memory, wanted: WantedContainer) -> str:
    return f"want-{wanted.operation.verb.value}"


def finished_verb(memory: Memory, uuid: str, _: Done) -> str:
    known = memory.find(uuid)
    return "" if known is None else f"finish-{known.wanted.operation.verb.value}"


if __name__ == "__main__":
    make_deadly(Journal, "add", step_of)
    make_deadly(Journal, "save", step_of)
    make_deadly(Journal, "end", lambda *_: END)
    make_deadly(Memory, "want", wanted_verb)
    make_deadly(Memory, "finish", finished_verb)
    main()
