"""What is asked of a container while somebody waits: passed on to the node that has it."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from mooring.container.model import Container
from mooring.container.states import check_allowed
from mooring.controller.api import Caller
from mooring.controller.finding import find_container
from mooring.db.api import Store
from mooring.errors import BusUnavailable, EngineRefused, WrongState
from mooring.rpc.api import NodeEnd, Nodes
from mooring.rpc.messages import Archive, Image, LogQuery, Output, ProcessTable, Usage

log = structlog.get_logger(__name__)


class ContainerInside:
    """Inside, over the nodes."""

    def __init__(self, *, store: Store, nodes: Nodes) -> None:
        self._store = store
        self._nodes = nodes

    def execute(self, caller: Caller, key: str, command: Sequence[str]) -> Output:
        """Run a command in a container and return what it said."""
        container, node = self._reach(caller, key, "execute")
        return node.execute(container.uuid, command)

    def logs(self, caller: Caller, key: str, query: LogQuery) -> str:
        """Return what a container has written."""
        container, node = self._reach(caller, key, "logs")
        return node.logs(container.uuid, query)

    def top(self, caller: Caller, key: str, ps_arguments: str | None) -> ProcessTable:
        """Return the processes of a container."""
        container, node = self._reach(caller, key, "top")
        return node.top(container.uuid, ps_arguments)

    def stats(self, caller: Caller, key: str) -> tuple[Container, Usage]:
        """Return what a container uses."""
        container, node = self._reach(caller, key, "stats")
        return container, node.stats(container.uuid)

    def get_archive(self, caller: Caller, key: str, path: str) -> Archive:
        """Return a file or a folder of a container."""
        container, node = self._reach(caller, key, "get_archive")
        return node.get_archive(container.uuid, path)

    def put_archive(self, caller: Caller, key: str, path: str, data: str) -> None:
        """Unpack a tar archive (base64) in a container."""
        container, node = self._reach(caller, key, "put_archive")
        node.put_archive(container.uuid, path, data)

    def commit(self, caller: Caller, key: str, repository: str, tag: str | None) -> str:
        """Make an image of a container; return its id."""
        container, node = self._reach(caller, key, "commit")
        return node.commit(container.uuid, repository, tag)

    def resize_terminal(self, caller: Caller, key: str, *, width: int, height: int) -> None:
        """Tell a container's terminal its size."""
        container, node = self._reach(caller, key, "resize")
        node.resize_terminal(container.uuid, width, height)

    def images(self, host: str | None) -> tuple[tuple[str, Image], ...]:
        """Return the images that hosts have, each with its host; hosts that do not answer are passed over."""
        hosts = self._store.hosts() if host is None else (self._store.host(host),)
        return tuple((each.name, image) for each in hosts for image in self._images_of(each.name))

    def pull(self, image: str, host: str) -> Image:
        """Have a host fetch an image. Raises HostNotFound."""
        return self._nodes.on(self._store.host(host).name).pull(image)

    def _reach(self, caller: Caller, key: str, verb: str) -> tuple[Container, NodeEnd]:
        container = find_container(self._store, caller, key)
        check_allowed(verb, container.uuid, container.status)
        if container.host is None:
            raise WrongState(container.uuid, verb, f"{container.status} (it is on no host)")
        return container, self._nodes.on(container.host)

    def _images_of(self, host: str) -> tuple[Image, ...]:
        try:
            return self._nodes.on(host).images()
        except (BusUnavailable, EngineRefused) as exc:
            log.warning("host.images-unknown", host=host, error=str(exc))
            return ()
