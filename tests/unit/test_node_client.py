"""How an operator's command speaks to the running daemon."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from pydantic import Field

from mooring.errors import DeviceBusy, NodeUnreachable, OperationRefused
from mooring.libnetwork.protocol import Message, NoArguments, Reply
from mooring.libnetwork.server import PluginApp, PluginServer, Route, listen
from mooring.node.client import call

ask = partial(call, timeout_s=60)


class Wish(Message):
    vfs: int


class Granted(Reply):
    vfs: int = Field(alias="Vfs")


def grant(wish: Wish) -> Granted:
    if wish.vfs == 0:
        raise DeviceBusy("0000:02:00.0", "attachment a", "remove its container first")
    return Granted(vfs=wish.vfs)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kuryr.sock"


@pytest.fixture
def served(path: Path) -> Iterator[Path]:
    docker_routes = {"Plugin.Activate": Route(lambda _: Reply(), NoArguments)}
    server = PluginServer(PluginApp(docker_routes, {"Mooring.Grant": Route(grant, Wish)}), listen(path))
    thread = threading.Thread(target=server.run)
    thread.start()
    yield path
    server.stop()
    thread.join(timeout=10)


def test_the_daemon_answers_on_dockers_socket(served: Path) -> None:
    assert ask(served, "Mooring.Grant", {"vfs": 4}) == {"Vfs": 4}
    assert ask(served, "Plugin.Activate") == {}


def test_a_refusal_is_the_daemons_own_sentence(served: Path) -> None:
    with pytest.raises(OperationRefused, match=r"0000:02:00.0 is in use by attachment a; remove its container first"):
        ask(served, "Mooring.Grant", {"vfs": 0})
    with pytest.raises(OperationRefused, match=r"mooring knows no call Mooring.Dance"):
        ask(served, "Mooring.Dance")


def test_a_daemon_that_is_not_there_is_told_how_to_start(path: Path) -> None:
    with pytest.raises(NodeUnreachable, match=r"No such file or directory.*systemctl start mooring-node"):
        ask(path, "Mooring.Grant")
    listen(path).close()
    with pytest.raises(NodeUnreachable, match="Connection refused"):
        ask(path, "Mooring.Grant")


def test_a_daemon_that_does_not_answer_is_not_waited_for_longer_than_said(path: Path) -> None:
    with listen(path), pytest.raises(NodeUnreachable, match=r"nothing for 0.05 s"):
        call(path, "Mooring.Grant", timeout_s=0.05)


def test_who_answers_something_else_is_not_mooring(path: Path) -> None:
    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            asked = b""
            while not asked.endswith(b"{}"):
                asked += connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n[1]")

    with listen(path) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        with pytest.raises(NodeUnreachable, match="none of mooring's"):
            ask(path, "Mooring.Grant")
        thread.join(timeout=10)
