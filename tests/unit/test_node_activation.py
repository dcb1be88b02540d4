"""The plugin's socket as systemd passes it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mooring.libnetwork.server import listen
from mooring.node.activation import passed_socket

TAKE = """
import json, os, sys
from pathlib import Path
from mooring.errors import InvalidConfiguration
from mooring.node.activation import passed_socket

if os.environ.get("LISTEN_PID") == "mine":
    os.environ["LISTEN_PID"] = str(os.getpid())
try:
    taken = passed_socket(Path(sys.argv[1]))
except InvalidConfiguration as exc:
    print(json.dumps(str(exc)))
else:
    left = [name for name in os.environ if name.startswith("LISTEN_")]
    print(json.dumps(taken and [taken.fileno(), taken.get_inheritable(), left]))
"""


def take(path: Path, passed: int, *, number: str = "1", pid: str = "mine") -> object:
    """What a process of its own makes of a file that was passed to it as systemd passes them."""
    ended = subprocess.run(
        [sys.executable, "-c", TAKE, str(path)],
        env={**os.environ, "LISTEN_PID": pid, "LISTEN_FDS": number, "LISTEN_FDNAMES": "plugin"},
        preexec_fn=lambda: os.dup2(passed, 3),
        pass_fds=(3,),
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(ended.stdout)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kuryr.sock"


def test_the_socket_that_listens_at_plugin_socket_is_taken_and_is_nobody_elses(path: Path) -> None:
    with listen(path) as listener:
        assert take(path, listener.fileno()) == [3, False, []]


def test_a_path_by_way_of_a_symbolic_link_is_the_same_path(path: Path, tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to(tmp_path)
    with listen(tmp_path / "run" / "kuryr.sock") as listener:
        assert take(path, listener.fileno()) == [3, False, []]


@pytest.mark.parametrize(("number", "pid"), [("0", "mine"), ("1", "1"), ("", "")])
def test_what_was_passed_to_nobody_or_to_another_process_is_not_ours(path: Path, number: str, pid: str) -> None:
    with listen(path) as listener:
        assert take(path, listener.fileno(), number=number, pid=pid) is None


def test_a_process_without_a_service_manager_was_passed_nothing(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        monkeypatch.delenv(name, raising=False)

    assert passed_socket(path) is None


def test_more_than_one_socket_is_refused(path: Path) -> None:
    with listen(path) as listener:
        assert "systemd passed 2 sockets (plugin)" in str(take(path, listener.fileno(), number="2"))


def test_a_socket_elsewhere_is_refused_with_both_paths(path: Path, tmp_path: Path) -> None:
    with listen(tmp_path / "other.sock") as listener:
        said = str(take(path, listener.fileno()))

    assert f"systemd listens on {tmp_path / 'other.sock'}, but plugin_socket is {path}" in said


def test_what_does_not_listen_or_is_no_unix_stream_is_refused(path: Path) -> None:
    with (
        socket.socket(socket.AF_INET) as tcp,
        socket.socket(socket.AF_UNIX) as deaf,
        path.with_suffix("").open("w") as file,
    ):
        deaf.bind(str(path))
        assert "no listening unix stream" in str(take(path, tcp.fileno()))
        assert "no listening unix stream" in str(take(path, deaf.fileno()))
        assert "is no socket" in str(take(path, file.fileno()))
