"""What the engine is asked, and what becomes of its answers."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from mooring.errors import EngineUnreachable
from mooring.libnetwork.server import listen
from mooring.node.docker import DockerEngine, find_plugin

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

VERSION = {"ApiVersion": "1.44", "Version": "25.0.1"}


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    engine: Engine


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        status, body = self.server.engine.answer(urlsplit(self.path).path)
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        pass

    def address_string(self) -> str:
        return "unix"


class Engine:
    """An engine's HTTP side with networks of several drivers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.networks: dict[str, dict[str, Any]] = {}
        self.listed: Callable[[], None] = lambda: None
        self.info: dict[str, Any] = {}
        self.inspected: list[str] = []

    def __enter__(self) -> Self:
        self._server = _Server(str(self.path), _Handler)
        self._server.engine = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)
        self.path.unlink()

    def add(self, network: str, *endpoints: str, driver: str = "kuryr") -> None:
        containers = {f"container of {endpoint}": {"EndpointID": endpoint} for endpoint in endpoints}
        self.networks[network] = {"Id": network, "Driver": driver, "Containers": containers}

    def answer(self, path: str) -> tuple[int, object]:
        match path.split("/")[1:]:
            case ["version"] | ["v1.44", "version"]:
                return 200, VERSION
            case ["v1.44", "info"]:
                return 200, self.info
            case ["v1.44", "networks"]:
                rows = [{**row, "Containers": {}} for row in self.networks.values()]
                self.listed()
                return 200, rows
            case ["v1.44", "networks", name] if name in self.networks:
                self.inspected.append(name)
                return 200, self.networks[name]
        return 404, {"message": f"{path} not found"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "docker.sock"


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    with Engine(path) as engine:
        yield engine


@pytest.fixture
def docker(path: Path) -> Iterator[DockerEngine]:
    docker = DockerEngine(f"unix://{path}")
    yield docker
    docker.close()
    # docker's library drops a socket that could not be connected without closing it.
    gc.collect()


def test_the_endpoints_of_all_plugins_networks_live_under_whatever_name_docker_knows_us(
    engine: Engine, docker: DockerEngine
) -> None:
    engine.add("one", "a", "b")
    engine.add("two", "c")
    engine.add("empty")
    engine.networks["empty"]["Containers"] = None
    engine.add("through-a-link", "d", driver="sriov")

    assert docker.living() == {"a", "b", "c", "d"}


def test_networks_of_dockers_own_drivers_are_not_asked_for(engine: Engine, docker: DockerEngine) -> None:
    for driver in ("bridge", "host", "null", "macvlan", "ipvlan", "overlay"):
        engine.add(driver, f"on {driver}", driver=driver)

    assert docker.living() == frozenset()

    assert engine.inspected == []


def test_a_network_that_goes_between_two_questions_has_no_endpoints(engine: Engine, docker: DockerEngine) -> None:
    engine.add("one", "a")
    engine.add("going")
    engine.listed = lambda: engine.networks.pop("going")

    assert docker.living() == {"a"}


def test_an_engine_that_is_away_is_asked_in_vain_and_told_of_once(path: Path, docker: DockerEngine) -> None:
    with capture_logs() as logs:
        assert docker.living() is None
        assert docker.living() is None
        with Engine(path) as engine:
            engine.add("one", "a")
            assert docker.living() == {"a"}
        assert docker.living() is None

    assert [entry["event"] for entry in logs] == ["engine.away", "engine.answers", "engine.away"]


def test_an_engine_that_refuses_has_not_answered(engine: Engine, docker: DockerEngine) -> None:
    engine.answer = lambda *_: (500, {"message": "context deadline exceeded"})  # type: ignore[method-assign]

    assert docker.living() is None


def test_a_part_of_an_answer_is_none(engine: Engine, docker: DockerEngine) -> None:
    engine.add("one", "a")
    engine.add("sick", "b")
    answer = engine.answer
    engine.answer = lambda path: (  # type: ignore[method-assign]
        (500, {"message": "no"}) if path.endswith("/sick") else answer(path)
    )

    assert docker.living() is None


@pytest.mark.parametrize(
    ("info", "directories"),
    [({}, ()), ({"CDISpecDirs": None}, ()), ({"CDISpecDirs": ["/etc/cdi", "/run/cdi"]}, ("/etc/cdi", "/run/cdi"))],
)
def test_the_engine_says_which_it_is_and_whether_it_reads_cdi_specs(
    engine: Engine, docker: DockerEngine, info: dict[str, Any], directories: tuple[str, ...]
) -> None:
    engine.info = info

    facts = docker.facts()

    assert (facts.version, facts.api_version, facts.cdi_directories) == ("25.0.1", "1.44", directories)


def test_an_engine_that_is_away_has_no_facts(docker: DockerEngine) -> None:
    with pytest.raises(EngineUnreachable, match="set \\[DEFAULT\\] docker_url"):
        docker.facts()


class TestFindPlugin:
    @pytest.fixture
    def directories(self, tmp_path: Path) -> tuple[str, ...]:
        for name in ("run", "etc", "usr"):
            (tmp_path / name / "kuryr").mkdir(parents=True)
        return tuple(str(tmp_path / name) for name in ("run", "etc", "usr"))

    def test_a_socket_hides_every_file(self, tmp_path: Path, directories: tuple[str, ...]) -> None:
        (tmp_path / "etc" / "kuryr.spec").write_text("unix:///elsewhere.sock\n")
        ours = tmp_path / "run" / "kuryr.sock"

        assert find_plugin(ours, directories) == f"{tmp_path / 'etc' / 'kuryr.spec'}: unix:///elsewhere.sock"
        with listen(ours):
            assert find_plugin(ours, directories) == str(ours)

    def test_a_socket_elsewhere_is_not_found(self, tmp_path: Path, directories: tuple[str, ...]) -> None:
        with listen(tmp_path / "kuryr.sock") as _:
            assert find_plugin(tmp_path / "kuryr.sock", directories) is None
