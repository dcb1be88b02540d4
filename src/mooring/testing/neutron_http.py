"""The Neutron in memory behind a real socket, for daemons that run in a process of their own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from mooring.errors import NeutronRefused, NeutronUnreachable
from mooring.testing.neutron_server import NeutronServer

_REVISION = "revision_number="


@contextmanager
def served(neutron: NeutronServer) -> Iterator[str]:
    """Answer requests as Neutron's API does, on loopback, and yield its URL. It asks nobody for a token."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(neutron))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="neutron", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(neutron: NeutronServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            asked = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            condition = self.headers.get("If-Match")
            try:
                found = neutron.send(
                    f"{self.command} {asked.path}",
                    "asked over HTTP",
                    self.command,
                    asked.path.removeprefix("/v2.0/"),
                    query=parse_qsl(asked.query),
                    body=body,
                    revision=int(condition.removeprefix(_REVISION)) if condition else None,
                )
            except NeutronRefused as exc:
                self._say(exc.status, {"NeutronError": {"type": "Fake", "message": exc.message, "detail": ""}})
            except NeutronUnreachable:
                # Whether it was done or not, no answer comes.
                self.close_connection = True
            else:
                self._say(200, found)

        def _say(self, status: int, body: dict[str, Any]) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Leave standard error to the tests."""

    return Handler
