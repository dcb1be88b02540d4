"""A dockerd of the tests' own, in a network namespace of its own, and the door of a plugin for it.

Needs root.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from mooring.libnetwork.server import PluginApp, PluginServer, listen

DRIVER = f"mooring-test-{os.getpid()}"
# Debian's commands, which fit each other, and not what somebody put into /usr/local.
DEBIAN = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
BUSYBOX = "/usr/bin/busybox"
CGROUPS = Path("/sys/fs/cgroup")


class Dockerd:
    """An engine of our own: its files under one directory, its network in one namespace."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._up = threading.Event()
        self._log: list[str] = []
        options = ["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]
        places = [f"--data-root={home}/data", f"--exec-root={home}/exec", f"--pidfile={home}/pid"]
        driver = ["--storage-driver=vfs", "--exec-opt=native.cgroupdriver=cgroupfs", f"--cgroup-parent=/{DRIVER}"]
        # Should a containerd of the machine's be running, dockerd uses that one.
        spaces = [f"--containerd-namespace={DRIVER}", f"--containerd-plugins-namespace={DRIVER}-plugins"]
        self._process = subprocess.Popen(
            ["unshare", "--net", "dockerd", f"--host={self.address}", *places, *options, *driver, *spaces],
            stderr=subprocess.PIPE,
            text=True,
            env=DEBIAN,
        )
        self._reader = threading.Thread(target=self._read_log)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)
        self._reader.join(timeout=10)
        assert self._process.stderr is not None
        self._process.stderr.close()
        for group in (*CGROUPS.glob(DRIVER), *CGROUPS.glob(f"*/{DRIVER}")):
            # Controllers that are mounted together stand there under each name.
            if group.exists():
                group.rmdir()

    @property
    def address(self) -> str:
        return f"unix://{self._home}/docker.sock"

    def wait(self) -> None:
        """Return once the engine answers; raise AssertionError with its log when it does not."""
        self._up.wait(timeout=60)
        assert self._process.poll() is None, "".join(self._log)
        self("version")

    def __call__(self, *words: str) -> str:
        """Run a docker command; raise AssertionError with what the user reads when it fails."""
        command = ["docker", "--host", self.address, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=DEBIAN)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def in_namespace(self, *words: str) -> str:
        command = ["nsenter", "--net", "--target", str(self._process.pid), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=DEBIAN).stdout

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._log.append(line)
            if "API listen on" in line:
                self._up.set()
        self._up.set()


class Door:
    """The plugin's socket, held as systemd holds it while the daemon behind it comes and goes."""

    def __init__(self) -> None:
        self.path = Path(f"/run/docker/plugins/{DRIVER}.sock")
        self._listener = listen(self.path)

    def open(self, app: PluginApp) -> None:
        self._server = PluginServer(app, self._listener.dup())
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()

    def shut(self) -> None:
        self._server.stop()
        self._thread.join(timeout=10)
        assert not self._thread.is_alive()

    def await_knock(self) -> None:
        """Return once somebody waits whom nobody serves."""
        assert select.select([self._listener], [], [], 30)[0]

    def remove(self) -> None:
        self._listener.close()
        self.path.unlink()


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dockerd]:
    home = tmp_path_factory.mktemp("docker")
    files = home / "image" / "bin"
    files.mkdir(parents=True)
    shutil.copy(BUSYBOX, files / "busybox")
    (files / "ip").symlink_to("busybox")
    (files / "sleep").symlink_to("busybox")
    archive = shutil.make_archive(str(home / "image"), "tar", home / "image")
    with Dockerd(home) as engine:
        engine.wait()
        engine("import", archive, "busybox")
        yield engine


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.remove()
