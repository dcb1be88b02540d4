"""The daemon answers for its own threads."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mooring.process.readiness import watchdog_s
from mooring.process.watchdog import Watchdog


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield manager


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def heard(manager: socket.socket) -> bool:
    try:
        return manager.recv(64, socket.MSG_DONTWAIT) == b"WATCHDOG=1"
    except BlockingIOError:
        return False


def test_the_manager_hears_of_a_daemon_whose_threads_make_their_rounds(manager: socket.socket) -> None:
    clock = Clock()
    watchdog = Watchdog(clock=clock)
    often, seldom = watchdog.expect("often", longest_silence_s=10), watchdog.expect("seldom", longest_silence_s=100)

    for clock.now in range(0, 300, 10):
        often()
        if clock.now % 100 == 0:
            seldom()
        watchdog.report()
        assert heard(manager)


def test_one_silent_thread_is_enough_and_is_named_once(manager: socket.socket) -> None:
    clock = Clock()
    watchdog = Watchdog(clock=clock)
    watchdog.expect("hangs", longest_silence_s=10)
    beat = watchdog.expect("lives", longest_silence_s=10)
    clock.now = 11
    beat()

    with capture_logs() as logs:
        watchdog.report()
        watchdog.report()

    assert not heard(manager)
    assert [(entry["event"], entry["threads"]) for entry in logs] == [("threads.silent", ("hangs",))]


def test_a_thread_that_gets_on_with_a_long_round_is_not_silent_and_others_do_not_speak_for_it() -> None:
    clock = Clock()
    watchdog = Watchdog(clock=clock)
    watchdog.expect("settlement", longest_silence_s=100)
    elsewhere = threading.Thread(target=watchdog.progress)

    clock.now = 90
    watchdog.progress()
    clock.now = 180
    assert watchdog.silent() == ()

    elsewhere.start()
    elsewhere.join()
    clock.now = 200
    assert watchdog.silent() == ("settlement",)


def test_a_thread_that_speaks_again_is_forgiven(manager: socket.socket) -> None:
    clock = Clock()
    watchdog = Watchdog(clock=clock)
    beat = watchdog.expect("slow", longest_silence_s=10)
    clock.now = 11
    watchdog.report()
    beat()

    with capture_logs() as logs:
        watchdog.report()
        watchdog.report()

    assert heard(manager)
    assert [(entry["log_level"], entry["event"]) for entry in logs] == [("info", "threads.speak-again")]


def test_the_manager_is_told_in_time(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    manager.settimeout(10)
    watchdog = Watchdog()

    watchdog.start()

    assert [manager.recv(64) for _ in range(2)] == [b"WATCHDOG=1"] * 2
    watchdog.stop()


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [("60000000", None, 60.0), ("60000000", "1", None), ("0", None, None), ("", None, None), (None, None, None)],
)
def test_the_manager_says_whether_and_how_long_it_waits(
    monkeypatch: pytest.MonkeyPatch, usec: str | None, pid: str | None, seconds: float | None
) -> None:
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)

    assert watchdog_s() == seconds


def test_without_a_manager_that_waits_nothing_runs_and_stopping_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    watchdog = Watchdog()

    watchdog.start()

    assert not watchdog._reporter.is_alive()
    watchdog.stop()
