"""The plugin's HTTP side: one WSGI application, and the server that carries it on a unix socket."""

from __future__ import annotations

import json
import os
import socket
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIEnvironment

import structlog
from pydantic import ValidationError
from structlog.contextvars import bind_contextvars, clear_contextvars

from mooring.errors import (
    EdgeFailure,
    InvalidConfiguration,
    InvalidInput,
    InvalidRequest,
    MooringError,
    NeutronRefused,
    NeutronUnreachable,
    Refused,
    StateFileUnusable,
)
from mooring.libnetwork.protocol import Message, NoArguments
from mooring.process.server import Server

MAX_BODY: Final = 1 << 20
MEDIA_TYPE: Final = "application/vnd.docker.plugins.v1.2+json"
STATUS: Final[Mapping[type[MooringError], HTTPStatus]] = {
    InvalidInput: HTTPStatus.BAD_REQUEST,
    Refused: HTTPStatus.CONFLICT,
    NeutronUnreachable: HTTPStatus.SERVICE_UNAVAILABLE,
    NeutronRefused: HTTPStatus.BAD_GATEWAY,
    EdgeFailure: HTTPStatus.INTERNAL_SERVER_ERROR,
    StateFileUnusable: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The answer to each error. Never 404, which the engine reads as "this plugin does not know the call"."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers a call, and what its body must be."""

    handler: Callable[[Any], Message]
    request: type[Message]


class PluginApp:
    """Docker's plugin protocol as a WSGI application: POST /<Interface>.<Method>, JSON both ways.

    Errors go out with ``Err`` and ``Error``, for the engine reads the one of network drivers and the other of IPAM
    drivers, and never as 200.
    """

    def __init__(self, *routes: Mapping[str, Route]) -> None:
        """Answer the calls of one or more tables, each by the name that stands in its path."""
        self._routes = {name: route for table in routes for name, route in table.items()}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one call, and log it in one line."""
        clear_contextvars()
        began = time.monotonic()
        call = environ.get("PATH_INFO", "").lstrip("/")
        status, reply = self._answer(call, environ)
        body = reply.encode()
        start_response(f"{status.value} {status.phrase}", [("Content-Type", MEDIA_TYPE)])
        log.info("docker.call", call=call, status=status.value, ms=round((time.monotonic() - began) * 1000))
        # An answer without a length ends the connection (waitress, HTTPTask). One that the engine kept open would break
        # under its next call when the daemon ends, and the engine repeats such a call without its body.
        return iter((body,))

    def _answer(self, call: str, environ: WSGIEnvironment) -> tuple[HTTPStatus, str]:
        if environ["REQUEST_METHOD"] != "POST":
            return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "plugin calls are POST requests")
        if (route := self._routes.get(call)) is None:
            return _refusal(HTTPStatus.NOT_FOUND, f"mooring knows no call {call}")
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > MAX_BODY:
            return _refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{call}: {length} bytes are more than {MAX_BODY}")
        try:
            request = _parse(call, route.request, environ["wsgi.input"].read(length))
            bind_contextvars(**request.log_facts())
            return HTTPStatus.OK, route.handler(request).model_dump_json(by_alias=True, exclude_none=True)
        except MooringError as exc:
            log.warning("docker.call-failed", call=call, code=exc.code, error=str(exc))
            return _refusal(status_of(exc), str(exc))
        except Exception:
            log.exception("docker.call-crashed", call=call)
            return _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, f"{call} failed inside mooring; its log says why")


def status_of(error: MooringError) -> HTTPStatus:
    """Return the HTTP status of an error: that of the nearest class in the table."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def _parse(call: str, model: type[Message], body: bytes) -> Message:
    if model is NoArguments:
        return NoArguments()
    if not body:
        # dockerd's retry after a broken connection: the body went out with the first attempt.
        raise InvalidRequest(f"{call} came with an empty body: an earlier attempt was cut off; start again")
    try:
        return model.model_validate_json(body)
    except ValidationError as exc:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in exc.errors())
        raise InvalidRequest(f"{call}: {problems}") from exc


def _refusal(status: HTTPStatus, message: str) -> tuple[HTTPStatus, str]:
    return status, json.dumps({"Err": message, "Error": message})


class PluginServer(Server):
    """Serves Docker's calls on a unix socket until it is stopped. Each connection carries one call."""

    def __init__(
        self,
        app: PluginApp,
        listener: socket.socket,
        *,
        patience_s: float = 60.0,
        on_round: Callable[[], None] = lambda: None,
    ) -> None:
        """Take over a listening socket, be it from ``listen`` or from systemd.

        ``patience_s`` is longer than the longest Join, which waits for Neutron and the kernel.
        """
        # The application says itself what is wrong with a body that is too large, if it learns of it: so twice as much
        # is read as is taken. An engine that is refused while it still sends may see nothing but a broken connection,
        # and repeats such a call without its body.
        super().__init__(app, listener, max_body=2 * MAX_BODY, patience_s=patience_s, on_round=on_round)


def listen(path: Path) -> socket.socket:
    """Listen on a unix socket that only root may use; raise InvalidConfiguration when another process does already."""
    if path.exists():
        _remove_stale(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode must hold from the first moment: whoever connects may bind ports with the cloud's credentials.
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as exc:
        listener.close()
        raise InvalidConfiguration(f"cannot listen on {path}: {exc.strerror}") from exc
    finally:
        os.umask(before)
    listener.listen(socket.SOMAXCONN)
    return listener


def _remove_stale(path: Path) -> None:
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise InvalidConfiguration(f"{path} is in the way: it is not a socket; move it, or configure another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink()
            return
    raise InvalidConfiguration(f"another process listens on {path}; stop it first")
