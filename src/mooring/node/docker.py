"""The Docker engine of this host, asked what it runs: which endpoints there are, and what the engine can do.

Never from within a call of the plugin's: the engine holds locks while it waits for our answer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from mooring.errors import EngineUnreachable

if TYPE_CHECKING:
    from docker import APIClient

PLUGIN_DIRECTORIES: Final = ("/run/docker/plugins", "/etc/docker/plugins", "/usr/lib/docker/plugins")
"""Where Docker looks for a plugin, in this order: a socket in the first, files that name one in the others."""

# Docker's own drivers (libnetwork drivers_linux.go), under whose names it registers no plugin's.
_BUILT_IN: Final = frozenset({"bridge", "host", "null", "none", "ipvlan", "macvlan", "overlay"})
_TIMEOUT_S: Final = 5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What the engine says of itself. ``cdi_directories`` are where it reads CDI specs; empty where CDI is off."""

    version: str
    api_version: str
    cdi_directories: tuple[str, ...]


class EngineConnection:
    """The way to the engine behind a socket. Any thread may ask, and none waits for another's answer.

    The version of the API is the newest that both sides know.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        """Ask nothing yet. The engine may be silent for ``timeout_s`` while it works on something."""
        self.url = url
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._client: APIClient | None = None

    def close(self) -> None:
        """Give up the connection; the next question makes another."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    @contextmanager
    def asking(self) -> Iterator[APIClient]:
        """Lend the connection; one that has failed is given up, for the next engine there may be another version.

        Raises EngineUnreachable. What the engine itself refuses passes through, as docker-py's APIError.
        """
        # Large, and of no use to the commands that only look at the host.
        from docker.errors import APIError, DockerException  # noqa: PLC0415
        from requests import RequestException  # noqa: PLC0415

        try:
            yield self._opened()
        except APIError:
            raise
        except (DockerException, RequestException) as exc:
            self.close()
            raise EngineUnreachable(self.url, str(exc)) from exc

    def _opened(self) -> APIClient:
        from docker import APIClient  # noqa: PLC0415

        with self._lock:
            if self._client is None:
                self._client = APIClient(base_url=self.url, version="auto", timeout=self._timeout_s)
            return self._client


class DockerEngine:
    """The engine behind a socket, asked by those who must not wait for it. Any thread may ask."""

    def __init__(self, url: str) -> None:
        """Ask nothing yet."""
        self._url = url
        self._connection = EngineConnection(url, timeout_s=_TIMEOUT_S)
        self._answers = True

    def living(self) -> frozenset[str] | None:
        """Return the ids of all endpoints on plugins' networks; None when the engine does not answer.

        Not only on our driver's, for nobody tells us its name: the engine may know it by a link's, or by that of a file
        which names our socket. An endpoint's id is unique, so those of others do no harm.

        A container that is being started has one from the end of CreateEndpoint on, a stopped one has none. What was
        attached after the call began may be missing, so look into the journal first.
        """
        try:
            with self._asking() as client:
                endpoints = frozenset(_endpoints(client))
        except EngineUnreachable as exc:
            self._now(answers=False, error=str(exc))
            return None
        self._now(answers=True)
        return endpoints

    def facts(self) -> EngineFacts:
        """Return what the engine says of itself; raise EngineUnreachable when it does not answer."""
        with self._asking() as client:
            version, info = client.version(), client.info()
        return EngineFacts(
            version=version["Version"],
            api_version=version["ApiVersion"],
            cdi_directories=tuple(info.get("CDISpecDirs") or ()),
        )

    def close(self) -> None:
        """Give up the connection; the next question makes another."""
        self._connection.close()

    @contextmanager
    def _asking(self) -> Iterator[APIClient]:
        """Lend the connection; an engine that refuses what it is only asked is none that answers."""
        from docker.errors import APIError  # noqa: PLC0415

        try:
            with self._connection.asking() as client:
                yield client
        except APIError as exc:
            self._connection.close()
            raise EngineUnreachable(self._url, str(exc)) from exc

    def _now(self, *, answers: bool, **facts: str) -> None:
        if answers != self._answers:
            self._answers = answers
            level = log.info if answers else log.warning
            level("engine.answers" if answers else "engine.away", url=self._url, **facts)


def find_plugin(plugin_socket: Path, directories: tuple[str, ...] = PLUGIN_DIRECTORIES) -> str | None:
    """Return where Docker finds a plugin of our socket's name, or None: a path, and for a file what it says.

    The order is the engine's (moby pkg/plugins/discovery.go): a socket hides every file.
    """
    name = plugin_socket.stem
    runtime, *others = map(Path, directories)
    for path in (runtime / f"{name}.sock", runtime / name / f"{name}.sock"):
        if path.is_socket():
            return str(path)
    for directory in others:
        for ending in ("spec", "json"):
            for path in (directory / f"{name}.{ending}", directory / name / f"{name}.{ending}"):
                if path.is_file():
                    return f"{path}: {path.read_text().strip()}"
    return None


def _endpoints(client: APIClient) -> Iterator[str]:
    from docker.errors import NotFound  # noqa: PLC0415

    for network in client.networks():
        if network["Driver"] in _BUILT_IN:
            continue
        try:
            details: Mapping[str, Any] = client.inspect_network(network["Id"])
        except NotFound:
            # Removed since it was listed, which takes that it has no endpoints.
            continue
        for endpoint in (details.get("Containers") or {}).values():
            yield endpoint["EndpointID"]
