"""What a container is told to do. Each answers before it is done; the container's status tells how it went."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, Final

from pydantic import Field

from mooring.api.fields import ImageDriver, ImageName, Signal, Timeout
from mooring.api.reading import Query
from mooring.api.routing import CONTAINER, Call, Route


class TimeoutQuery(Query):
    """How many seconds a container has to end by itself."""

    timeout: Timeout = 10


class KillQuery(Query):
    """Which signal is sent: SIGKILL where none is named."""

    signal: Signal | None = None


class RebuildQuery(Query):
    """Which image the container is made of from now on; its own where none is named."""

    image: Annotated[ImageName, Field(description="name of the image")] | None = None
    image_driver: ImageDriver = None


def _start(call: Call[Query, None]) -> None:
    call.core.lifecycle.start(call.caller, call.key)


def _stop(call: Call[TimeoutQuery, None]) -> None:
    call.core.lifecycle.stop(call.caller, call.key, timeout_s=call.query.timeout)


def _reboot(call: Call[TimeoutQuery, None]) -> None:
    call.core.lifecycle.reboot(call.caller, call.key, timeout_s=call.query.timeout)


def _pause(call: Call[Query, None]) -> None:
    call.core.lifecycle.pause(call.caller, call.key)


def _unpause(call: Call[Query, None]) -> None:
    call.core.lifecycle.unpause(call.caller, call.key)


def _kill(call: Call[KillQuery, None]) -> None:
    call.core.lifecycle.kill(call.caller, call.key, signal=call.query.signal)


def _rebuild(call: Call[RebuildQuery, None]) -> None:
    query = call.query
    call.core.lifecycle.rebuild(call.caller, call.key, image=query.image, image_driver=query.image_driver)


def _verb(name: str, handler: Callable[[Call[Any, Any]], None], summary: str, query: type[Query] = Query) -> Route:
    return Route(
        method="POST",
        path=f"{CONTAINER}/{name}",
        rule=f"container:{name}",
        handler=handler,
        summary=summary,
        status=HTTPStatus.ACCEPTED,
        query=query,
    )


ROUTES: Final = (
    _verb("start", _start, "Start a container"),
    _verb("stop", _stop, "Stop a container, by force when it has not ended in time", TimeoutQuery),
    _verb("reboot", _reboot, "Stop a container and start it again", TimeoutQuery),
    _verb("pause", _pause, "Freeze a container's processes"),
    _verb("unpause", _unpause, "Let a container's processes go on"),
    _verb("kill", _kill, "Send a signal to a container", KillQuery),
    _verb("rebuild", _rebuild, "Make a container anew, with the same ports and devices", RebuildQuery),
)
