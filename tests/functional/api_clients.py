"""The real clients of Zun's API, in an environment of their own, and the Keystone that one of them insists on."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lab.cache import Cache, content_key

HERE = Path(__file__).parent
CONSTRAINTS = HERE / "clients-constraints.txt"
LIBRARY = HERE / "programs" / "zun_library.py"
PACKAGES = ("python-zunclient", "python-openstackclient", "schemathesis")
_LONGEST_S = 240


def install_clients() -> Path:
    """Return the programs of the clients' environment; quick when the cache has it."""
    parts: list[str | bytes] = [CONSTRAINTS.read_bytes(), sys.version, sys.base_prefix, *PACKAGES]
    return Cache.default().get("api-clients", content_key(parts), _make) / "bin"


def program(programs: Path, name: str) -> list[str]:
    """Return how a program of the environment is called: it was made elsewhere, and looks for its Python there."""
    return [str(programs / "python"), str(programs / name)]


def _make(directory: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
    pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "-q", "--no-compile", "-c", str(CONSTRAINTS)]
    subprocess.run([*pip, *PACKAGES], check=True)


class Refused(Exception):
    """What the library raised: the name of its class, and its text."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class Library:
    """python-zunclient's library in a process of its own; ``token`` is the user."""

    def __init__(self, programs: Path, endpoint: str, token: str) -> None:
        self._process = subprocess.Popen(
            [str(programs / "python"), str(LIBRARY), endpoint, token],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self, manager: str, method: str, **arguments: object) -> Any:  # noqa: ANN401 - what the API answers
        """Call a method of one of the client's managers; raise Refused."""
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answers is not None
        asked.write(json.dumps([manager, method, arguments]) + "\n")
        asked.flush()
        answer = json.loads(answers.readline())
        if "error" in answer:
            raise Refused(answer["error"], answer["message"])
        return answer["result"]

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@dataclass(frozen=True, slots=True)
class Said:
    """What a command has said, and how it ended."""

    code: int
    out: str
    err: str


def run(command: Sequence[str], *, environment: dict[str, str], directory: Path | None = None) -> Said:
    """Run a command line to its end."""
    done = subprocess.run(
        list(command),
        capture_output=True,
        text=True,
        timeout=_LONGEST_S,
        env=environment,
        cwd=directory,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


class _Keystone(BaseHTTPRequestHandler):
    """As much of Keystone's version 3 as ``zun`` needs: a token, and a catalog with one endpoint."""

    server: StubKeystone

    def do_GET(self) -> None:
        links = [{"rel": "self", "href": self.server.url}]
        version = {"id": "v3.14", "status": "stable", "links": links, "media-types": []}
        self._answer(200, {"version": version})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        endpoint = {"id": "e1", "interface": "public", "region_id": "one", "region": "one", "url": self.server.endpoint}
        token = {
            "methods": ["password"],
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "user": {"id": "alice", "name": "alice", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "projA", "name": "projA", "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "r1", "name": "member"}],
            "catalog": [{"id": "s1", "type": "container", "name": "zun", "endpoints": [endpoint]}],
        }
        self._answer(201, {"token": token}, {"X-Subject-Token": self.server.token})

    def _answer(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing: what the client says is what is looked at."""


class StubKeystone(ThreadingHTTPServer):
    """Lets everybody in as one user; hands out one token, and the endpoint of the service under test."""

    def __init__(self, endpoint: str, token: str) -> None:
        super().__init__(("127.0.0.1", 0), _Keystone)
        self.endpoint = endpoint
        self.token = token

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_address[1]}/v3"


@contextmanager
def stub_keystone(endpoint: str, token: str) -> Iterator[StubKeystone]:
    """Run a StubKeystone for a while."""
    keystone = StubKeystone(endpoint, token)
    thread = threading.Thread(target=keystone.serve_forever)
    thread.start()
    try:
        yield keystone
    finally:
        keystone.shutdown()
        thread.join()
        keystone.server_close()
