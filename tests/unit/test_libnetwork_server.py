"""The plugin's HTTP side, as dockerd speaks it: over the application, and over a real unix socket."""

from __future__ import annotations

import http.client
import json
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from libnetwork_world import Dockerd, World

from mooring import errors
from mooring.errors import InvalidConfiguration, MooringError
from mooring.libnetwork.protocol import Message, NoArguments, Reply
from mooring.libnetwork.server import MAX_BODY, STATUS, PluginApp, PluginServer, Route, listen, status_of


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.plugin.close()


def leaves(kind: type[MooringError]) -> list[type[MooringError]]:
    below = [leaf for child in kind.__subclasses__() if child.__module__ == errors.__name__ for leaf in leaves(child)]
    return below or [kind]


@pytest.mark.parametrize("kind", leaves(MooringError), ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_that_is_neither_success_nor_404(kind: type[MooringError]) -> None:
    status = status_of(kind.__new__(kind))

    assert status in STATUS.values()
    assert status >= 400
    assert status != 404


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("Plugin.Activate", {"Implements": ["NetworkDriver", "IpamDriver"]}),
        ("NetworkDriver.GetCapabilities", {"Scope": "local", "GwAllocChecker": True}),
        ("IpamDriver.GetCapabilities", {"RequiresMACAddress": False, "RequiresRequestReplay": False}),
        (
            "IpamDriver.GetDefaultAddressSpaces",
            {"LocalDefaultAddressSpace": "no_address_space", "GlobalDefaultAddressSpace": "no_address_space"},
        ),
    ],
)
def test_calls_without_arguments_come_without_a_body(world: World, call: str, answer: dict[str, object]) -> None:
    assert world.docker.post(call, b"") == (200, answer)


@pytest.mark.parametrize(
    ("call", "body", "status", "sentence"),
    [
        ("NetworkDriver.CreateEndpoint", b"", 400, "an earlier attempt was cut off"),
        ("NetworkDriver.CreateEndpoint", b"{", 400, "Invalid JSON"),
        ("NetworkDriver.CreateEndpoint", b"[]", 400, "NetworkDriver.CreateEndpoint: body"),
        ("NetworkDriver.Join", b'{"NetworkID": "n"}', 400, "EndpointID: Field required"),
        ("IpamDriver.RequestAddress", b'{"PoolID": "p", "Address": "10.0.0"}', 400, "Address"),
        ("IpamDriver.RequestAddress", b'{"PoolID": "p", "Address": "10.0.0.5"}', 400, "belongs to no Docker network"),
        ("NetworkDriver.Dance", b"{}", 404, "mooring knows no call NetworkDriver.Dance"),
        ("NetworkDriver.Join", b"x" * (MAX_BODY + 1), 413, "are more than"),
    ],
)
def test_a_bad_request_is_answered_at_once_with_both_error_keys(
    world: World, call: str, body: bytes, status: int, sentence: str
) -> None:
    answered, answer = world.docker.post(call, body)

    assert (answered, answer["Err"]) == (status, answer["Error"])
    assert sentence in answer["Err"]


def test_only_post_is_answered(world: World) -> None:
    assert world.docker.post("Plugin.Activate", b"", verb="GET")[0] == 405


def test_unknown_null_and_absent_keys_are_no_error(world: World) -> None:
    body = {
        "NetworkID": "n" * 64,
        "EndpointID": "e" * 64,
        "Interface": None,
        "Options": None,
        "Surprise": {"from": "engine 30"},
    }

    status, answer = world.docker.post("NetworkDriver.CreateEndpoint", json.dumps(body).encode())

    assert (status, "bear its tags" in answer["Err"]) == (409, True)


def test_swarm_calls_are_echoed_or_accepted(world: World) -> None:
    call = world.docker.call
    assert call("NetworkDriver.AllocateNetwork", {"NetworkID": "n", "Options": {"a": "b"}}) == {"Options": {"a": "b"}}
    assert call("NetworkDriver.FreeNetwork", {"NetworkID": "n"}) == {}
    assert call("NetworkDriver.DiscoverNew", {"DiscoveryType": 1, "DiscoveryData": {"Address": "a"}}) == {}


def test_a_crash_is_answered_without_its_inner_workings() -> None:
    def crash(_: Message) -> Reply:
        raise RuntimeError("the secret is hunter2")

    status, answer = Dockerd(PluginApp({"A.B": Route(crash, NoArguments)})).post("A.B", b"")

    assert (status, answer["Err"]) == (500, "A.B failed inside mooring; its log says why")


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection as dockerd opens it."""

    def __init__(self, path: Path) -> None:
        super().__init__("plugin.moby.localhost", timeout=10)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Slow:
    """A handler that answers when it is released."""

    def __init__(self) -> None:
        self.arrived, self.release = threading.Event(), threading.Event()

    def __call__(self, _: Message) -> Reply:
        self.arrived.set()
        assert self.release.wait(timeout=20)
        return Reply()


class TestOnAUnixSocket:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "plugins" / "kuryr.sock"

    @pytest.fixture
    def served(self, world: World, path: Path) -> Iterator[Path]:
        server = PluginServer(world.plugin.app, listen(path))
        thread = threading.Thread(target=server.run)
        thread.start()
        yield path
        server.stop()
        thread.join(timeout=10)
        assert not thread.is_alive()

    def test_each_call_ends_its_connection_so_that_none_breaks_under_the_next_call(self, served: Path) -> None:
        connection = UnixConnection(served)
        for body in (None, b""):
            connection.request("POST", "/Plugin.Activate", body=body)
            answer = connection.getresponse()
            assert answer.getheader("Connection") == "close"
            assert json.loads(answer.read()) == {"Implements": ["NetworkDriver", "IpamDriver"]}

    def test_a_refusal_reaches_the_engine(self, served: Path) -> None:
        connection = UnixConnection(served)
        connection.request("POST", "/NetworkDriver.Join", body=b"")
        answer = connection.getresponse()
        assert (answer.status, "empty body" in json.loads(answer.read())["Err"]) == (400, True)
        connection.close()

    def test_only_root_may_connect(self, served: Path) -> None:
        assert stat.S_IMODE(served.stat().st_mode) == 0o600

    def test_a_slow_call_does_not_keep_others_waiting(self, path: Path) -> None:
        slow = Slow()
        app = PluginApp({"A.Slow": Route(slow, NoArguments), "A.Fast": Route(lambda _: Reply(), NoArguments)})
        server = PluginServer(app, listen(path))
        thread = threading.Thread(target=server.run)
        thread.start()
        waiting, quick = UnixConnection(path), UnixConnection(path)
        waiting.request("POST", "/A.Slow")
        assert slow.arrived.wait(timeout=10)
        quick.request("POST", "/A.Fast")
        assert quick.getresponse().status == 200
        slow.release.set()
        assert waiting.getresponse().status == 200
        for connection in (waiting, quick):
            connection.close()
        server.stop()
        thread.join(timeout=10)

    def test_a_removal_is_answered_however_many_joins_wait(self, path: Path) -> None:
        release, waiting = threading.Event(), threading.Semaphore(0)

        def wait(_: Message) -> Reply:
            waiting.release()
            assert release.wait(timeout=20)
            return Reply()

        app = PluginApp({"A.Join": Route(wait, NoArguments), "A.Leave": Route(lambda _: Reply(), NoArguments)})
        server = PluginServer(app, listen(path))
        thread = threading.Thread(target=server.run)
        thread.start()
        joins = [UnixConnection(path) for _ in range(120)]
        for join in joins:
            join.request("POST", "/A.Join")
            assert waiting.acquire(timeout=10), "it waits for a thread"

        removal = UnixConnection(path)
        removal.request("POST", "/A.Leave")
        assert removal.getresponse().status == 200

        release.set()
        assert {join.getresponse().status for join in joins} == {200}
        for connection in (removal, *joins):
            connection.close()
        server.stop()
        thread.join(timeout=10)
        assert not thread.is_alive()

    def test_stopping_answers_the_calls_under_way(self, path: Path) -> None:
        handler, draining = Slow(), threading.Event()
        app = PluginApp({"A.Slow": Route(handler, NoArguments)})
        stopped = lambda: server._stopping.is_set() and draining.set()  # noqa: E731
        server = PluginServer(app, listen(path), on_round=stopped)
        thread = threading.Thread(target=server.run)
        thread.start()
        first, second = UnixConnection(path), UnixConnection(path)
        for connection in (first, second):
            connection.request("POST", "/A.Slow")
            assert handler.arrived.wait(timeout=10)
            handler.arrived.clear()

        server.stop()

        assert draining.wait(timeout=10), "nobody waits for the calls"
        handler.release.set()
        for connection in (first, second):
            assert connection.getresponse().status == 200
            connection.close()
        thread.join(timeout=10)
        assert not thread.is_alive()

    def test_what_is_not_accepted_any_more_waits_for_the_next_daemon(self, path: Path) -> None:
        manager = listen(path)
        connection = UnixConnection(path)
        for _ in range(2):
            connection.request("POST", "/A.Fast")
            server = PluginServer(PluginApp({"A.Fast": Route(lambda _: Reply(), NoArguments)}), manager.dup())
            thread = threading.Thread(target=server.run)
            thread.start()
            assert connection.getresponse().status == 200
            connection.close()
            server.stop()
            thread.join(timeout=10)
            assert not thread.is_alive()
        assert path.is_socket()
        manager.close()

    def test_stopping_hears_out_who_is_connected_but_has_not_finished_asking(self, path: Path) -> None:
        handler = Slow()
        app = PluginApp({"A.Slow": Route(handler, NoArguments)}, {"A.Fast": Route(lambda _: Reply(), NoArguments)})
        server = PluginServer(app, listen(path))
        thread = threading.Thread(target=server.run)
        thread.start()
        halfway, slow = UnixConnection(path), UnixConnection(path)
        halfway.connect()
        halfway.sock.sendall(b"POST /A.Fast HTTP/1.1\r\nHost: docker\r\n")
        slow.request("POST", "/A.Slow")
        assert handler.arrived.wait(timeout=10)

        server.stop()
        handler.release.set()
        assert slow.getresponse().status == 200
        halfway.sock.sendall(b"Content-Length: 0\r\n\r\n")

        answer = http.client.HTTPResponse(halfway.sock)
        answer.begin()
        assert answer.status == 200
        thread.join(timeout=10)
        assert not thread.is_alive()
        for connection in (halfway, slow):
            connection.close()

    def test_stopping_does_not_wait_for_who_asks_nothing(self, path: Path) -> None:
        server = PluginServer(PluginApp({}), listen(path), patience_s=3600)
        thread = threading.Thread(target=server.run)
        thread.start()
        idle = UnixConnection(path)
        idle.connect()

        server.stop()

        thread.join(timeout=10)
        assert not thread.is_alive()
        idle.close()

    def test_stopping_a_server_that_has_ended_touches_nothing(self, path: Path) -> None:
        server = PluginServer(PluginApp({}), listen(path))
        server.stop()
        server.run()

        server.stop()

    def test_a_server_that_lives_says_so(self, path: Path) -> None:
        said = threading.Event()
        server = PluginServer(PluginApp({}), listen(path), on_round=said.set)
        thread = threading.Thread(target=server.run)
        thread.start()

        assert said.wait(timeout=10)

        server.stop()
        thread.join(timeout=10)

    def test_stopping_does_not_wait_for_ever(self, path: Path) -> None:
        handler = Slow()
        app = PluginApp({"A.Slow": Route(handler, NoArguments)})
        server = PluginServer(app, listen(path), patience_s=0.05)
        thread = threading.Thread(target=server.run)
        thread.start()
        connection = UnixConnection(path)
        connection.request("POST", "/A.Slow")
        assert handler.arrived.wait(timeout=10)

        server.stop()

        thread.join(timeout=10)
        assert not thread.is_alive()
        handler.release.set()
        connection.close()

    def test_a_socket_that_nobody_listens_on_is_replaced(self, path: Path) -> None:
        listen(path).close()

        with listen(path) as listener, socket.socket(socket.AF_UNIX) as engine:
            engine.connect(str(path))
            accepted, _ = listener.accept()
            accepted.close()

    def test_a_second_daemon_is_refused(self, path: Path) -> None:
        first = listen(path)

        with pytest.raises(InvalidConfiguration, match="another process listens on"):
            listen(path)

        first.close()

    def test_a_file_in_the_way_is_not_removed(self, path: Path) -> None:
        path.parent.mkdir()
        path.write_text("precious")

        with pytest.raises(InvalidConfiguration, match="is in the way"):
            listen(path)

        assert path.read_text() == "precious"
