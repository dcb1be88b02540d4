"""Long-running processes of the lab: started in a session of their own, ended by their pid.

The pid file holds the pid and the process's start time (field 22 of ``/proc/PID/stat``), so that a
recycled pid is never taken for ours, in this run or a later one.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import NotReadyError, ProcessError

POLL_INTERVAL = 0.05
TAIL_LINES = 30
DEAD = "ZX"


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A pid that cannot be confused with a later process of the same number."""

    pid: int
    start_time: int

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The living process with this pid; None if there is none, or only a zombie."""
        state, start_time = _stat(pid)
        return None if state in DEAD else cls(pid, start_time)

    def is_alive(self) -> bool:
        """Whether exactly this process still runs."""
        return ProcessId.of(self.pid) == self

    def wait_gone(self, seconds: float) -> bool:
        """Wait until the process has ended; False if it still runs after ``seconds``."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            if not self.is_alive():
                return True
            return bool(select.select([pidfd], [], [], seconds)[0])
        finally:
            os.close(pidfd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """One background process: what to run, and where its pid and its output are kept.

    Two ``Daemon`` values with the same ``pid_file`` mean the same process: a later run of the lab
    stops what an earlier one started.
    """

    name: str
    command: Sequence[str]
    log_file: Path
    pid_file: Path
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None

    def start(self) -> None:
        """Start the process, with ``env`` added to our environment and all output in ``log_file``.

        Raises ProcessError if it already runs or its program cannot be executed.
        """
        if self.is_running():
            raise ProcessError(f"{self.name} already runs (pid file {self.pid_file}): stop it first")
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            try:
                process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **self.env},
                    cwd=self.cwd,
                    start_new_session=True,
                )
            except OSError as exc:
                raise ProcessError(f"{self.name} cannot be started: {self.command[0]}: {exc.strerror}") from exc
        # Of a process that died already it is still known, since nobody has waited for it.
        _, start_time = _stat(process.pid)
        self.pid_file.write_text(f"{process.pid} {start_time}\n")
        # It outlives us on purpose; without this Python warns when the object goes.
        process.returncode = 0

    def process_id(self) -> ProcessId | None:
        """The running process, or None."""
        try:
            pid, start_time = self.pid_file.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        known = ProcessId(int(pid), int(start_time))
        return known if known.is_alive() else None

    def is_running(self) -> bool:
        """Whether the process that ``start`` started still runs."""
        return self.process_id() is not None

    def wait_ready(self, ready: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Wait until ``ready()`` holds.

        Raises ProcessError as soon as the process dies and NotReadyError after ``seconds``, both with
        the end of the log.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.is_running():
                raise ProcessError(f"{self.name} died before {what}\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise NotReadyError(f"{self.name}: not {what} after {seconds:.0f} s\n{self.log_tail()}")
            time.sleep(POLL_INTERVAL)

    def stop(self, *, seconds: float = 10) -> None:
        """End the process and its session's process group: TERM, then KILL after ``seconds``.

        Safe to repeat. Raises ProcessError if the process survives KILL for 5 s.
        """
        running = self.process_id()
        if running is not None:
            for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(running.pid, number)
                if _reaped(running, patience):
                    break
            else:
                raise ProcessError(f"{self.name} (pid {running.pid}) survived SIGKILL; see {self.log_file}")
        self.pid_file.unlink(missing_ok=True)

    def log_tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of the log, under a heading with the log's path, for error messages."""
        try:
            text = self.log_file.read_text(errors="replace")
        except FileNotFoundError:
            text = ""
        return "\n".join([f"--- end of {self.log_file}", *text.splitlines()[-lines:]])


def _stat(pid: int) -> tuple[str, int]:
    """State and start time of a process, zombies included; proc(5). The state is X if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "X", 0
    # The command name, in parentheses, may itself hold spaces and parentheses.
    state, *rest = stat.rpartition(")")[2].split()
    return state, int(rest[18])


def _reaped(process: ProcessId, seconds: float) -> bool:
    gone = process.wait_gone(seconds)
    # Only our own child needs (and allows) this; a zombie would keep the pid.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    return gone
