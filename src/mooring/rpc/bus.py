"""The service's message bus: controllers and nodes over oslo.messaging (RabbitMQ, or ``fake://`` in one process).

Any controller answers what nodes ask; a node answers what is asked of its host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

from mooring.messaging import Listener
from mooring.rpc.api import ControllerEnd, NodeEnd
from mooring.rpc.caller import EXCHANGE, VERSION, Caller, Receiver, service_url
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
from mooring.rpc.procedures import Procedures

_CONTROLLERS: Final = "controllers"
_NODES: Final = "nodes"
_TO_CONTROLLERS: Final = Procedures(ControllerEnd)
_TO_NODES: Final = Procedures(NodeEnd)

_ARE_YOU_THERE: Final = "are_you_there"

_PATIENCE_S: Final = 30.0
_LONGER_S: Final[Mapping[str, float]] = {
    "execute": 600.0,
    "get_archive": 120.0,
    "put_archive": 120.0,
    "commit": 600.0,
    "pull": 1800.0,
}
"""What takes its time, with the bound of its answer."""

# Commands in containers and archives may take long, and must not keep each other waiting.
_WORKERS: Final = 64


class ControllerClient:
    """ControllerEnd, whichever controller answers."""

    def __init__(self, transport_url: str) -> None:
        """Ask nothing yet."""
        self._caller = Caller(transport_url)

    def close(self) -> None:
        """Close the connections."""
        self._caller.close()

    def sync(self, report: NodeReport) -> Wanted:
        """Report what this node sees; see ControllerEnd."""
        doing = "reporting to a controller"
        arguments = _TO_CONTROLLERS.pack("sync", {"report": report})
        reply = self._caller.ask(Receiver(topic=_CONTROLLERS), doing, "sync", arguments, timeout_s=_PATIENCE_S)
        wanted: Wanted = _TO_CONTROLLERS.unpack("sync", doing, reply)
        return wanted


class NodesClient:
    """Nodes, each found by its host's name. One set of connections serves them all."""

    def __init__(self, transport_url: str) -> None:
        """Ask nothing yet."""
        self._caller = Caller(transport_url)

    def close(self) -> None:
        """Close the connections."""
        self._caller.close()

    def on(self, host: str) -> NodeClient:
        """Return the way to a host's node; asks nothing yet."""
        return NodeClient(self._caller, host)


class NodeClient:
    """NodeEnd of one host; see there."""

    def __init__(self, caller: Caller, host: str) -> None:
        self._caller = caller
        self._host = host
        self._receiver = Receiver(topic=_NODES, server=host)

    def wake(self) -> None:
        """Ask for a sync soon."""
        self._caller.tell(self._receiver, f"waking node {self._host}", "wake", timeout_s=_PATIENCE_S)

    def execute(self, uuid: str, command: Sequence[str]) -> Output:
        """Run a command in a container."""
        output: Output = self._ask("execute", uuid=uuid, command=command)
        return output

    def logs(self, uuid: str, query: LogQuery) -> str:
        """Return what a container has written."""
        return str(self._ask("logs", uuid=uuid, query=query))

    def top(self, uuid: str, ps_arguments: str | None) -> ProcessTable:
        """Return the processes of a container."""
        table: ProcessTable = self._ask("top", uuid=uuid, ps_arguments=ps_arguments)
        return table

    def stats(self, uuid: str) -> Usage:
        """Return what a container uses."""
        usage: Usage = self._ask("stats", uuid=uuid)
        return usage

    def get_archive(self, uuid: str, path: str) -> Archive:
        """Return a file or a folder of a container."""
        archive: Archive = self._ask("get_archive", uuid=uuid, path=path)
        return archive

    def put_archive(self, uuid: str, path: str, data: str) -> None:
        """Unpack a tar archive in a container."""
        self._ask("put_archive", uuid=uuid, path=path, data=data)

    def commit(self, uuid: str, repository: str, tag: str | None) -> str:
        """Make an image of a container."""
        return str(self._ask("commit", uuid=uuid, repository=repository, tag=tag))

    def resize_terminal(self, uuid: str, width: int, height: int) -> None:
        """Tell a container's terminal its size."""
        self._ask("resize_terminal", uuid=uuid, width=width, height=height)

    def images(self) -> tuple[Image, ...]:
        """Return the images that the host has."""
        images: tuple[Image, ...] = self._ask("images")
        return images

    def pull(self, image: str) -> Image:
        """Fetch an image."""
        fetched: Image = self._ask("pull", image=image)
        return fetched

    def _ask(self, name: str, **arguments: object) -> Any:  # noqa: ANN401 - what the method of that name returns
        doing = f"asking node {self._host} ({name})"
        packed = _TO_NODES.pack(name, arguments)
        timeout_s = _LONGER_S.get(name, _PATIENCE_S)
        reply = self._caller.ask(self._receiver, doing, name, packed, timeout_s=timeout_s)
        return _TO_NODES.unpack(name, doing, reply)


class ControllerServer:
    """Answers nodes, beside other controllers, until it is stopped. It can be sent a word over the bus, to see."""

    def __init__(self, transport_url: str, end: ControllerEnd, on_heard: Callable[[], None]) -> None:
        """Begin; waits for no broker. ``on_heard`` is called when such a word has arrived."""
        self._end = end
        self._on_heard = on_heard
        self._receiver = Receiver(topic=_CONTROLLERS, server=uuid4().hex)
        self._caller = Caller(transport_url)
        self._listener = _serve(transport_url, _CONTROLLERS, str(self._receiver.server), self._answer)

    def call_itself(self) -> None:
        """Send it that word; raises BusUnavailable when the broker does not take it."""
        self._caller.tell(self._receiver, "calling this controller itself", _ARE_YOU_THERE, timeout_s=_PATIENCE_S)

    def stop(self, seconds: float) -> None:
        """End, and wait this long for it."""
        self._listener.stop(seconds)
        self._caller.close()

    def _answer(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if name == _ARE_YOU_THERE:
            self._on_heard()
            return {}
        return _TO_CONTROLLERS.serve(self._end, name, arguments)


def serve_controller(
    transport_url: str, end: ControllerEnd, *, on_heard: Callable[[], None] = lambda: None
) -> ControllerServer:
    """Answer nodes, beside other controllers, until what is returned is stopped; see ControllerServer."""
    return ControllerServer(transport_url, end, on_heard)


def serve_node(transport_url: str, host: str, end: NodeEnd) -> Listener:
    """Answer controllers for a host, until the returned listener is stopped; waits for no broker."""
    return _serve(transport_url, _NODES, host, lambda *call: _TO_NODES.serve(end, *call))


class _Ears:
    """What oslo.messaging calls; ``target`` is its own."""

    target: Any = None

    def __init__(self, answer: Callable[[str, Mapping[str, Any]], dict[str, Any]]) -> None:
        self._answer = answer

    def ask(self, context: object, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one call."""
        del context
        return self._answer(name, arguments)


def _serve(
    transport_url: str, topic: str, server: str, answer: Callable[[str, Mapping[str, Any]], dict[str, Any]]
) -> Listener:
    listener = Listener(
        service_url(transport_url),
        [{"exchange": EXCHANGE, "topic": topic, "server": server}],
        _Ears(answer),
        name=f"bus-{topic}",
        version=VERSION,
        workers=_WORKERS,
    )
    listener.start()
    return listener
