"""What each side asks of the other, in our words; ``rpc/bus.py`` and the fakes of ``mooring.testing`` keep to it.

Every method raises BusUnavailable when the message bus or the other side does not answer within its bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mooring.rpc.messages import (
    Archive,
    Image,
    LogQuery,
    NodeReport,
    Output,
    ProcessTable,
    Usage,
    Wanted,
)


class ControllerEnd(Protocol):
    """What any controller answers to nodes."""

    def sync(self, report: NodeReport) -> Wanted:
        """Take note of what a node sees, and tell it all that is wanted of it. This is its heartbeat, too."""
        ...


class NodeEnd(Protocol):
    """What the node of one host answers to controllers.

    Every method but ``wake`` raises ContainerNotFound for a container that is not there, WrongState for one that is not
    in a state to answer, and EngineRefused with Docker's own words.
    """

    def wake(self) -> None:
        """Ask for a sync soon: something new is wanted. Nobody waits for it, and it may be lost."""
        ...

    def execute(self, uuid: str, command: Sequence[str]) -> Output:
        """Run a command in a container, and return its output when it has ended."""
        ...

    def logs(self, uuid: str, query: LogQuery) -> str:
        """Return what a container has written."""
        ...

    def top(self, uuid: str, ps_arguments: str | None) -> ProcessTable:
        """Return the processes of a container."""
        ...

    def stats(self, uuid: str) -> Usage:
        """Return what a container uses."""
        ...

    def get_archive(self, uuid: str, path: str) -> Archive:
        """Return a file or a folder of a container."""
        ...

    def put_archive(self, uuid: str, path: str, data: str) -> None:
        """Unpack a tar archive (base64) in a container."""
        ...

    def commit(self, uuid: str, repository: str, tag: str | None) -> str:
        """Make an image of a container; return the image's id."""
        ...

    def resize_terminal(self, uuid: str, width: int, height: int) -> None:
        """Tell a container's terminal its size, in characters."""
        ...

    def images(self) -> tuple[Image, ...]:
        """Return the images that the host has."""
        ...

    def pull(self, image: str) -> Image:
        """Fetch an image from its registry."""
        ...


class Nodes(Protocol):
    """The nodes, from a controller's side."""

    def on(self, host: str) -> NodeEnd:
        """Return the way to a host's node; asks nothing yet."""
        ...
