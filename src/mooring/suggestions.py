"""What to say to somebody who wrote a name that nobody knows."""

from __future__ import annotations

import difflib
from collections.abc import Collection


def suggest(name: str, known: Collection[str]) -> str:
    """Return a question with the nearest of the known names, or all of them when none is near."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
