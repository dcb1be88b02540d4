"""What controllers ask of a host's containers while somebody waits: answered by Docker."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from mooring.errors import ContainerNotFound, EngineRefused, WrongState
from mooring.node.containers.answers import ending_of, gathered, image_of, images_of, usage_of
from mooring.node.containers.creation import container_name
from mooring.node.containers.engine import engine_errors
from mooring.node.containers.inspection import found_in, status_of
from mooring.node.docker import EngineConnection
from mooring.rpc.messages import Archive, Image, LogQuery, Output, ProcessTable, Usage

if TYPE_CHECKING:
    from docker import APIClient

# The bus carries it in one message.
_MOST_TEXT: Final = 1 << 20
_MOST_ARCHIVE: Final = 16 << 20


class DockerNodeEnd:
    """Implements NodeEnd for the containers of this host. ``wake`` is the agent's."""

    def __init__(self, connection: EngineConnection, wake: Callable[[], None]) -> None:
        self._connection = connection
        self._wake = wake

    def wake(self) -> None:
        """Have a sync soon."""
        self._wake()

    def execute(self, uuid: str, command: Sequence[str]) -> Output:
        """Run a command in a container; of what it says, the last mebibyte is returned."""
        with self._asking(uuid, "execute", running=True) as client:
            started = client.exec_create(container_name(uuid), list(command))["Id"]
            text = ending_of(client.exec_start(started, stream=True), _MOST_TEXT)
            return Output(text=text, exit_code=client.exec_inspect(started)["ExitCode"])

    def logs(self, uuid: str, query: LogQuery) -> str:
        """Return what a container has written, the last mebibyte of it at most."""
        with self._asking(uuid, "logs") as client:
            lines = client.logs(
                container_name(uuid),
                stdout=query.stdout,
                stderr=query.stderr,
                timestamps=query.timestamps,
                tail="all" if query.tail is None else query.tail,
                since=query.since,
                stream=True,
                follow=False,
            )
            return ending_of(lines, _MOST_TEXT)

    def top(self, uuid: str, ps_arguments: str | None) -> ProcessTable:
        """Return the processes of a container."""
        with self._asking(uuid, "top", running=True) as client:
            table = client.top(container_name(uuid), ps_args=ps_arguments)
        return ProcessTable(titles=tuple(table["Titles"]), processes=tuple(map(tuple, table["Processes"] or ())))

    def stats(self, uuid: str) -> Usage:
        """Return what a container uses."""
        with self._asking(uuid, "stats", running=True) as client:
            return usage_of(client.stats(container_name(uuid), stream=False))

    def get_archive(self, uuid: str, path: str) -> Archive:
        """Return a file or a folder of a container."""
        with self._asking(uuid, "get_archive") as client:
            chunks, stat = client.get_archive(container_name(uuid), path)
            data = gathered(chunks, _MOST_ARCHIVE)
        if data is None:
            doing, mib = f"reading {path} of container {uuid}", _MOST_ARCHIVE >> 20
            raise EngineRefused(doing, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"it is larger than {mib} MiB")
        return Archive(data=base64.b64encode(data).decode(), stat=stat)

    def put_archive(self, uuid: str, path: str, data: str) -> None:
        """Unpack a tar archive in a container."""
        with self._asking(uuid, "put_archive") as client:
            client.put_archive(container_name(uuid), path, base64.b64decode(data))

    def commit(self, uuid: str, repository: str, tag: str | None) -> str:
        """Make an image of a container."""
        with self._asking(uuid, "commit") as client:
            return str(client.commit(container_name(uuid), repository=repository, tag=tag)["Id"])

    def resize_terminal(self, uuid: str, width: int, height: int) -> None:
        """Tell a container's terminal its size."""
        with self._asking(uuid, "resize", running=True) as client:
            client.resize(container_name(uuid), height=height, width=width)

    def images(self) -> tuple[Image, ...]:
        """Return the images that the host has, under each of their names."""
        with self._connection.asking() as client, engine_errors("listing images"):
            return tuple(images_of(client.images()))

    def pull(self, image: str) -> Image:
        """Fetch an image, with the credentials that root has for its registry."""
        doing = f"pulling image {image}"
        with self._connection.asking() as client, engine_errors(doing):
            for item in client.pull(image, stream=True, decode=True):
                if "error" in item:
                    raise EngineRefused(doing, HTTPStatus.INTERNAL_SERVER_ERROR, str(item["error"]))
            return image_of(client.inspect_image(image), image)

    @contextmanager
    def _asking(self, uuid: str, verb: str, *, running: bool = False) -> Iterator[APIClient]:
        """Lend the connection for a question about a container that is there, and in a state to answer."""
        with self._connection.asking() as client, engine_errors(f"{verb} of container {uuid}"):
            details = _details(client, uuid)
            if running and not details["State"]["Running"]:
                raise WrongState(uuid, verb, status_of(found_in(details)))
            yield client


def _details(client: APIClient, uuid: str) -> Any:  # noqa: ANN401 - Docker's JSON
    from docker.errors import NotFound  # noqa: PLC0415

    try:
        return client.inspect_container(container_name(uuid))
    except NotFound as exc:
        raise ContainerNotFound(uuid) from exc
