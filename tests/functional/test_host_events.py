"""The kernel's announcements, of interfaces of this test's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.host import links
from mooring.host.events import LinuxEvents, host_events

SECONDS = 10.0
NAME = f"ev{os.getpid()}"
UEVENTS = Path("/sys/class/net", NAME, "uevent")


@pytest.fixture
def index() -> Iterator[int]:
    made = subprocess.run(
        ["ip", "link", "add", NAME, "type", "veth", "peer", f"{NAME}p"], check=False, capture_output=True, text=True
    )
    if made.returncode != 0:
        pytest.skip(f"no veth interfaces here: {made.stderr.strip()}")
    yield links.index_of(NAME)
    subprocess.run(["ip", "link", "delete", f"{NAME}p"], check=False, capture_output=True)


@pytest.fixture
def events() -> Iterator[LinuxEvents]:
    with host_events() as events:
        yield events


def test_a_change_of_a_link_that_came_before_the_wait_is_not_missed(index: int, events: LinuxEvents) -> None:
    links.set_mtu(index, 1300)
    assert events.wait(SECONDS)


@pytest.mark.usefixtures("index")
def test_a_uevent_alone_is_a_change(events: LinuxEvents) -> None:
    drain(events)
    announce(1)
    assert events.wait(SECONDS)


@pytest.mark.usefixtures("index")
def test_more_changes_than_the_sockets_hold_are_a_change(events: LinuxEvents) -> None:
    announce(5000)
    assert events.wait(SECONDS)
    drain(events)


@pytest.mark.usefixtures("index")
def test_the_sockets_are_closed_with_the_listening() -> None:
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    with host_events():
        assert os.listdir("/proc/self/fd") != before  # noqa: PTH208
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


def drain(events: LinuxEvents) -> None:
    while events.wait(0):  # for others may change this host, too
        pass


def announce(times: int) -> None:
    """Let the kernel announce the interface again, as `udevadm trigger` does."""
    with UEVENTS.open("w") as file:
        for _ in range(times):
            file.write("change")
            file.flush()
