"""One process at a time changes this host: the daemon for its life, an operator's verb while there is no daemon."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO, Final

import structlog

from mooring.errors import InvalidConfiguration, StateFileUnusable

LOCK_FILE: Final = "lock"
# The kernel tells of a lock that is free to those only that wait without limit.
_ASK_AGAIN_S: Final = 0.2

log = structlog.get_logger(__name__)


def try_exclusive(state_dir: Path) -> IO[str] | None:
    """Take the host for ourselves until the returned file is closed (``with`` does), or return None: it is taken.

    The kernel gives it back when the process ends, however that comes about. Raises StateFileUnusable.
    """
    path = state_dir / LOCK_FILE
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    except OSError as exc:
        raise StateFileUnusable(path, f"{exc.strerror}", "run as root, or set [DEFAULT] state_dir") from exc
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError as exc:
        file.close()
        raise StateFileUnusable(path, f"{exc.strerror}", "keep state_dir on a local disk") from exc
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def exclusive(state_dir: Path, *, patience_s: float = 30.0) -> IO[str]:
    """Take the host for ourselves; raise InvalidConfiguration when another process keeps it for so many seconds.

    An operator's command has it for seconds, and the service manager does not start a daemon again and again for ever.
    """
    deadline = time.monotonic() + patience_s
    is_told = False
    while (file := try_exclusive(state_dir)) is None:
        holder = _holder(state_dir)
        if time.monotonic() >= deadline:
            raise InvalidConfiguration(
                f"process {holder} has this host, for it holds {state_dir / LOCK_FILE}; a host has one 'mooring node', "
                "for another would unbind its ports: stop that process"
            )
        if not is_told:
            log.warning("host.taken", process=holder, lock=str(state_dir / LOCK_FILE), waiting_s=patience_s)
            is_told = True
        time.sleep(_ASK_AGAIN_S)
    return file


def _holder(state_dir: Path) -> str:
    # It may be gone by now, or not have written its name yet.
    return (state_dir / LOCK_FILE).read_text() or "(unknown)"
