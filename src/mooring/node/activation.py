"""Takes the plugin's socket over from the service manager (systemd's sd_listen_fds(3) protocol).

The manager listens from before Docker starts until the host goes down, and calls wait in the socket's backlog while no
daemon is there to serve them.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final

from mooring.errors import InvalidConfiguration

_FIRST_FD: Final = 3
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def passed_socket(path: Path) -> socket.socket | None:
    """Return the socket that was passed to this process and listens at ``path``, or None when none was passed.

    Whoever takes it must leave its file alone. Raises InvalidConfiguration when something else was passed.
    """
    pid, number, names = (os.environ.pop(name, "") for name in _VARIABLES)
    if pid != str(os.getpid()) or number in ("", "0"):
        return None
    if number != "1":
        raise InvalidConfiguration(
            f"systemd passed {number} sockets ({names}); mooring-node.socket must have one ListenStream={path}"
        )
    listener = _adopted(names)
    try:
        _verify(listener, path)
    except BaseException:
        listener.close()
        raise
    return listener


def _adopted(name: str) -> socket.socket:
    try:
        listener = socket.socket(fileno=_FIRST_FD)
    except OSError as exc:
        raise InvalidConfiguration(f"what systemd passed as {name} is no socket: {exc.strerror}") from exc
    listener.set_inheritable(False)
    return listener


def _verify(listener: socket.socket, path: Path) -> None:
    # The family comes first: other sockets' addresses are no paths.
    is_unix_stream = (listener.family, listener.type) == (socket.AF_UNIX, socket.SOCK_STREAM)
    if not is_unix_stream or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise InvalidConfiguration(f"systemd passed a socket that is no listening unix stream; ListenStream={path} is")
    address = os.fsdecode(listener.getsockname())
    if Path(address).resolve() != path.resolve():
        raise InvalidConfiguration(
            f"systemd listens on {address or 'no path'}, but plugin_socket is {path}; make ListenStream of "
            "mooring-node.socket and plugin_socket the same"
        )
