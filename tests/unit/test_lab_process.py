"""The lab's processes, started and ended by pid."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.errors import NotReadyError, ProcessError
from lab.process import Daemon, ProcessId

MakeDaemon = Callable[[str], Daemon]


@pytest.fixture
def make_daemon(tmp_path: Path) -> Iterator[MakeDaemon]:
    made: list[Daemon] = []

    def make(script: str) -> Daemon:
        daemon = Daemon(
            name="victim", command=["sh", "-c", script], log_file=tmp_path / "log", pid_file=tmp_path / "pid"
        )
        made.append(daemon)
        return daemon

    yield make
    for daemon in made:
        daemon.stop()


def says(daemon: Daemon, words: str) -> Callable[[], bool]:
    return lambda: words in daemon.log_tail()


def test_a_daemon_runs_until_it_is_stopped_and_may_be_stopped_twice(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("echo up; exec sleep 60")
    daemon.start()
    daemon.wait_ready(says(daemon, "up"), seconds=10, what="up")
    assert daemon.is_running()
    daemon.stop()
    daemon.stop()
    assert not daemon.is_running()


def test_a_daemon_that_ignores_term_is_killed(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("trap '' TERM; echo up; while :; do sleep 1; done")
    daemon.start()
    daemon.wait_ready(says(daemon, "up"), seconds=10, what="up")
    daemon.stop(seconds=0.1)
    assert not daemon.is_running()


def test_a_daemon_is_not_started_twice(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("exec sleep 60")
    daemon.start()
    with pytest.raises(ProcessError, match="already runs"):
        daemon.start()


def test_waiting_ends_at_once_with_the_log_when_the_process_dies(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("echo 'no such bus'; exit 3")
    daemon.start()
    with pytest.raises(ProcessError, match=r"died before listening(?s:.*)no such bus"):
        daemon.wait_ready(lambda: False, seconds=60, what="listening")


def test_waiting_ends_at_the_deadline(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon("exec sleep 60")
    daemon.start()
    with pytest.raises(NotReadyError, match="not listening"):
        daemon.wait_ready(lambda: False, seconds=0, what="listening")


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    daemon = Daemon(name="x", command=["/no/such/program"], log_file=tmp_path / "log", pid_file=tmp_path / "pid")
    with pytest.raises(ProcessError, match="/no/such/program: No such file"):
        daemon.start()


def test_a_recycled_pid_is_never_taken_for_ours(tmp_path: Path) -> None:
    me = ProcessId.of(os.getpid())
    assert me is not None
    daemon = Daemon(name="x", command=[], log_file=tmp_path / "log", pid_file=tmp_path / "pid")
    daemon.pid_file.write_text(f"{me.pid} {me.start_time - 1}\n")
    assert not daemon.is_running()
    daemon.stop()
    assert me.is_alive()
