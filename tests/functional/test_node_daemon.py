"""The daemon as the service manager runs it: on a socket that was passed to it, watched, stopped and started anew.

Needs root: the daemon listens to the kernel. The host has no device that it may touch.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.libnetwork.server import listen
from mooring.node.client import call

CONFIGURATION = """\
[DEFAULT]
state_dir = {home}/state
plugin_socket = {home}/kuryr.sock
docker_url = unix://{home}/docker.sock
metrics_address = 127.0.0.1:{port}

[pci]
device_spec = {{"address": "ffff:ff:1f.7", "physical_network": "physnet1"}}

[neutron]
auth_type = none
endpoint_override = http://127.0.0.1:1
transport_url = {bus}
"""
AWAY = "rabbit://user:password@127.0.0.1:1/"
ACTIVATED = {"Implements": ["NetworkDriver", "IpamDriver"]}


class Manager:
    """The service manager's part: it holds the socket, hears notifications, and starts the daemon."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = home / "kuryr.sock"
        self.listener = listen(self.path)
        self.heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.heard.settimeout(60)
        self.heard.bind(str(home / "notify"))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.metrics_port = probe.getsockname()[1]
        self.daemons: list[subprocess.Popen[str]] = []

    def configure(self, *, bus: str = "") -> None:
        text = CONFIGURATION.format(home=self.home, port=self.metrics_port, bus=bus)
        (self.home / "mooring.conf").write_text(text)

    def start(self, **environment: str) -> subprocess.Popen[str]:
        daemon = [sys.executable, "-m", "mooring", "--config-file", str(self.home / "mooring.conf"), "node"]
        # What systemd does between fork and exec.
        activation = f'LISTEN_PID=$$ exec "$@" 3<&{self.listener.fileno()}'
        process = subprocess.Popen(
            ["bash", "-c", activation, "bash", *daemon],
            env={**os.environ, "NOTIFY_SOCKET": str(self.home / "notify"), "LISTEN_FDS": "1", **environment},
            pass_fds=(self.listener.fileno(),),
            stderr=subprocess.PIPE,
            text=True,
        )
        self.daemons.append(process)
        return process

    def hear(self) -> str:
        return self.heard.recv(64).decode()

    def has_heard(self) -> bool:
        return bool(select.select([self.heard], [], [], 0)[0])

    def activate(self) -> object:
        return call(self.path, "Plugin.Activate", timeout_s=60)

    def close(self) -> None:
        for daemon in self.daemons:
            daemon.kill()
            daemon.communicate()
        self.listener.close()
        self.heard.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path)
    manager.configure()
    yield manager
    manager.close()


def test_a_call_that_came_before_the_daemon_is_answered_and_stopping_leaves_the_socket(manager: Manager) -> None:
    answers: list[object] = []
    for _ in range(2):
        user = threading.Thread(target=lambda: answers.append(manager.activate()))
        user.start()
        daemon = manager.start()
        assert manager.hear() == "READY=1"
        user.join(timeout=30)
        daemon.terminate()
        assert manager.hear() == "STOPPING=1"
        assert daemon.wait(timeout=30) == 0
        assert manager.path.is_socket()

    assert answers == [ACTIVATED] * 2


def test_a_daemon_that_is_stopped_as_soon_as_it_is_ready_ends_in_order(manager: Manager) -> None:
    daemon = manager.start()
    assert manager.hear() == "READY=1"

    daemon.terminate()

    assert daemon.wait(timeout=30) == 0
    assert manager.hear() == "STOPPING=1"


def test_a_second_daemon_is_refused_and_the_first_one_serves_on(manager: Manager) -> None:
    first = manager.start()
    assert manager.hear() == "READY=1"

    second = manager.start()
    _, said = second.communicate(timeout=60)  # it waits for a while first

    assert second.returncode == 2
    assert f"process {first.pid} has this host" in said
    assert manager.activate() == ACTIVATED


def test_the_manager_hears_that_the_daemon_lives_and_prometheus_how(manager: Manager) -> None:
    manager.start(WATCHDOG_USEC="200000")

    assert {manager.hear() for _ in range(3)} == {"READY=1", "WATCHDOG=1"}

    with urllib.request.urlopen(f"http://127.0.0.1:{manager.metrics_port}/metrics", timeout=10) as answer:
        assert "mooring_build_info" in answer.read().decode()


def test_while_neutron_is_away_docker_is_served_and_readiness_told_soon_afterwards(manager: Manager) -> None:
    manager.configure(bus=AWAY)
    manager.start()

    assert manager.activate() == ACTIVATED

    assert not manager.has_heard()
    assert manager.hear() == "READY=1"
