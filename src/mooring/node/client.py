"""How an operator's command asks the running daemon to do something: a call on the plugin's socket."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from mooring.errors import NodeUnreachable, OperationRefused

_START: Final = "start it with 'systemctl start mooring-node'"


class _Connection(http.client.HTTPConnection):
    """An HTTP connection over a unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("mooring.localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def call(socket_path: Path, name: str, body: Mapping[str, object] | None = None, *, timeout_s: float) -> dict[str, Any]:
    """Make a call such as ``Mooring.GarbageCollect`` and return the daemon's answer.

    Raises OperationRefused with the daemon's sentence, NodeUnreachable when there is no answer in ``timeout_s``.
    """
    connection = _Connection(socket_path, timeout_s)
    try:
        connection.request("POST", f"/{name}", body=json.dumps(body or {}))
        answer = connection.getresponse()
        status, reply = answer.status, dict(json.loads(answer.read()))
    except TimeoutError as exc:
        raise NodeUnreachable(socket_path, f"nothing for {timeout_s:g} s", "its log says what it is doing") from exc
    except PermissionError as exc:
        raise NodeUnreachable(socket_path, "Permission denied", "run as root") from exc
    except OSError as exc:
        raise NodeUnreachable(socket_path, exc.strerror or str(exc), _START) from exc
    except (http.client.HTTPException, ValueError, TypeError) as exc:
        raise NodeUnreachable(socket_path, "the answer is none of mooring's", "see who listens there") from exc
    finally:
        connection.close()
    if status != HTTPStatus.OK:
        raise OperationRefused(str(reply.get("Err")))
    return reply
