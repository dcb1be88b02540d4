"""Unit tests keep their files in memory: half their time would be waiting for a disk that proves nothing here."""

from __future__ import annotations

import os
from pathlib import Path

MEMORY = Path("/dev/shm")

if MEMORY.is_dir():
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
