"""What a server answers by itself, before an application has a say: over a real socket."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.message import Message
from typing import Any, NamedTuple

import pytest
from api_world import NOW, SETTINGS
from structlog.testing import capture_logs

from mooring.api.app import create_app, refusal
from mooring.process.server import Server

MAX_BODY = 1000


@contextmanager
def serving(app: Callable[..., object]) -> Iterator[tuple[str, int]]:
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    server = Server(app, listener, max_body=MAX_BODY, refusal=refusal)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield address
    finally:
        server.stop()
        thread.join(timeout=10)


@pytest.fixture(scope="module")
def api() -> Iterator[tuple[str, int]]:
    nothing: Any = None
    settings = replace(SETTINGS, max_body_bytes=MAX_BODY)
    app = create_app(lifecycle=nothing, inside=nothing, store=nothing, settings=settings, clock=lambda: NOW)
    with serving(app) as address:
        yield address


class Answer(NamedTuple):
    status: int
    headers: Message
    text: str


def answer(address: tuple[str, int], head: str, body: bytes = b"") -> Answer:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return Answer(response.status, response.headers, response.read().decode())


POST = "POST /v1/containers HTTP/1.1\nHost: here\nX-Auth-Token: alice:projA\nContent-Type: application/json"


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        (f"{POST}\nContent-Length: {MAX_BODY + 1}", b"", 413),
        (f"{POST}\nContent-Length: 99999999999", b"{", 413),
        (f"{POST}\nTransfer-Encoding: chunked", b"7d0\r\n" + b" " * 2000, 413),
        (f"{POST}\nTransfer-Encoding: gzip", b"", 501),
        (f"{POST}\nContent-Length: two", b"", 400),
        (f"{POST}\nX-Long: {'x' * (1 << 19)}", b"", 431),
    ],
    ids=["one byte too many", "far too many", "chunked", "compressed", "no number", "long headers"],
)
def test_what_never_reaches_the_application_is_refused_in_its_form(
    api: tuple[str, int], head: str, body: bytes, status: int
) -> None:
    with capture_logs() as logs:
        response = answer(api, head, body)

    (error,) = json.loads(response.text)["errors"]
    assert (response.status, error["status"]) == (status, status)
    assert response.headers["Content-Type"] == "application/json"
    assert error["title"]
    request_id = response.headers["X-Openstack-Request-Id"]
    assert error["request_id"] == request_id
    assert str(request_id).startswith("req-")
    assert [line["request_id"] for line in logs if line["event"] == "api.refused"] == [request_id]


def test_a_body_that_is_just_small_enough_is_read(api: tuple[str, int]) -> None:
    response = answer(api, f"{POST}\nContent-Length: {MAX_BODY}", b"[" + b" " * (MAX_BODY - 2) + b"]")

    assert (response.status, "JSON object" in response.text) == (400, True)


def test_many_requests_at_once_are_no_reason_to_warn(caplog: pytest.LogCaptureFixture) -> None:
    together = threading.Barrier(40)

    def app(_environ: object, start_response: Callable[..., object]) -> list[bytes]:
        together.wait(timeout=20)
        start_response("200 OK", [("Content-Length", "0")])
        return [b""]

    with serving(app) as address, caplog.at_level(logging.DEBUG):
        threads = [threading.Thread(target=answer, args=(address, "GET / HTTP/1.1\nHost: here")) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=20)

    assert [record.message for record in caplog.records if record.name.startswith("waitress")] == []
