"""The kernel's own word on whether its clock is kept right (adjtimex(2))."""

from __future__ import annotations

import ctypes
from typing import Final

_TIME_ERROR: Final = 5  # include/uapi/linux/timex.h: the clock is not synchronised
_ENOUGH: Final = 512  # struct timex has about 200 bytes; all zero, it asks and sets nothing


def is_synchronised() -> bool:
    """Tell whether something disciplines the clock."""
    state: int = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_ENOUGH))
    return state not in (-1, _TIME_ERROR)
