"""What is asked of a container while the client waits; its node answers."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Final

from pydantic import Field, StrictStr

from mooring.api.fields import Base64, Moment, Tail, split_command
from mooring.api.reading import Body, Query
from mooring.api.routing import CONTAINER, Call, Route
from mooring.api.views import View
from mooring.errors import InvalidRequest
from mooring.rpc.messages import Archive, LogQuery, ProcessTable, Usage

Path = Annotated[str, Field(min_length=1, max_length=4096)]
Side = Annotated[int, Field(ge=1, le=10_000)]

_MIB: Final = 1 << 20


class ExecuteQuery(Query):
    """A command, quoted as for a shell."""

    command: str | None = None
    run: bool = True
    interactive: bool = False


class ExecuteBody(Body):
    """The same as in the query, for what is too long for one; here a command may be a list, too."""

    command: StrictStr | tuple[StrictStr, ...] | None = None
    run: bool | None = None
    interactive: bool | None = None


class LogsQuery(Query):
    """Which part of the output is wanted; ``since`` is seconds of the epoch, or a time (UTC)."""

    stdout: bool = True
    stderr: bool = True
    timestamps: bool = False
    tail: Tail = None
    since: Moment | None = None


class TopQuery(Query):
    """Arguments for ps."""

    ps_args: Annotated[str, Field(max_length=255)] | None = None


class PathQuery(Query):
    """A file or a folder of a container."""

    path: Path


class ArchiveBody(Body):
    """A tar archive in base64."""

    data: Base64


class SizeQuery(Query):
    """The size of a terminal, in characters."""

    w: Side
    h: Side


class CommitQuery(Query):
    """The name of the image that is made."""

    repository: Annotated[str, Field(min_length=1, max_length=255)]
    tag: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}$")] | None = None


class ExecuteView(View):
    """What a command said, and how it ended."""

    output: str
    exit_code: int | None
    exec_id: None = None
    proxy_url: None = None


class TopView(View):
    """The processes of a container."""

    titles: tuple[str, ...] = Field(alias="Titles")
    processes: tuple[tuple[str, ...], ...] = Field(alias="Processes")


class StatsView(View):
    """What a container uses."""

    container: str = Field(alias="CONTAINER")
    cpu_percent: float = Field(alias="CPU %")
    memory_mib: float = Field(alias="MEM USAGE(MiB)")
    memory_limit_mib: float = Field(alias="MEM LIMIT(MiB)")
    memory_percent: float = Field(alias="MEM %")
    block: str = Field(alias="BLOCK I/O(B)")
    network: str = Field(alias="NET I/O(B)")


class ArchiveView(View):
    """A file or a folder of a container: a tar archive in base64, and Docker's description of it."""

    data: str
    stat: dict[str, str | int]


class CommitView(View):
    """The image that was made."""

    uuid: str


def _execute(call: Call[ExecuteQuery, ExecuteBody]) -> ExecuteView:
    query, body = call.query, call.body
    if query.interactive or body.interactive:
        raise InvalidRequest("interactive commands are not supported: there is no terminal to connect to")
    if not (query.run if body.run is None else body.run):
        raise InvalidRequest("run=false is not supported: a command is carried out while the client waits")
    output = call.core.inside.execute(call.caller, call.key, _words(query.command, body.command))
    return ExecuteView(output=output.text, exit_code=output.exit_code)


def _words(asked: str | None, in_body: str | tuple[str, ...] | None) -> tuple[str, ...]:
    command = asked if in_body is None else in_body
    if not command:
        raise InvalidRequest("command is missing")
    if isinstance(command, tuple):
        return command
    try:
        return split_command(command)
    except ValueError as exc:
        raise InvalidRequest(str(exc)) from exc


def _logs(call: Call[LogsQuery, None]) -> str:
    return call.core.inside.logs(call.caller, call.key, LogQuery(**call.query.model_dump()))


def _top(call: Call[TopQuery, None]) -> TopView:
    table: ProcessTable = call.core.inside.top(call.caller, call.key, call.query.ps_args)
    return TopView(titles=table.titles, processes=table.processes)


def _stats(call: Call[Query, None]) -> StatsView:
    container, usage = call.core.inside.stats(call.caller, call.key)
    return stats_view(container.spec.name, usage)


def stats_view(name: str, usage: Usage) -> StatsView:
    """Return what a container uses, in the units and under the names of Docker's table."""
    used, limit = usage.memory_bytes, usage.memory_limit_bytes
    return StatsView(
        container=name,
        cpu_percent=usage.cpu_percent,
        memory_mib=round(used / _MIB, 2),
        memory_limit_mib=round(limit / _MIB, 2),
        memory_percent=round(100 * used / limit, 2) if limit else 0.0,
        block=f"{usage.block_read_bytes}/{usage.block_write_bytes}",
        network=f"{usage.received_bytes}/{usage.sent_bytes}",
    )


def _get_archive(call: Call[PathQuery, None]) -> ArchiveView:
    archive: Archive = call.core.inside.get_archive(call.caller, call.key, call.query.path)
    return ArchiveView(data=archive.data, stat=dict(archive.stat))


def _put_archive(call: Call[PathQuery, ArchiveBody]) -> None:
    call.core.inside.put_archive(call.caller, call.key, call.query.path, call.body.data)


def _commit(call: Call[CommitQuery, None]) -> CommitView:
    query = call.query
    return CommitView(uuid=call.core.inside.commit(call.caller, call.key, query.repository, query.tag))


def _resize(call: Call[SizeQuery, None]) -> None:
    call.core.inside.resize_terminal(call.caller, call.key, width=call.query.w, height=call.query.h)


def _inside(method: str, name: str, **parts: Any) -> Route:  # noqa: ANN401 - a Route's own
    # What Docker says of a command, a path or a tag.
    return Route(
        method=method,
        path=f"{CONTAINER}/{name}",
        rule=f"container:{name}",
        also=(HTTPStatus.BAD_GATEWAY,),
        **parts,
    )


ROUTES: Final = (
    _inside(
        "POST",
        "execute",
        handler=_execute,
        summary="Run a command in a container",
        query=ExecuteQuery,
        body=ExecuteBody,
        body_optional=True,
        reply=ExecuteView,
    ),
    _inside("GET", "logs", handler=_logs, summary="Show what a container has written", query=LogsQuery, reply=str),
    _inside("GET", "top", handler=_top, summary="List a container's processes", query=TopQuery, reply=TopView),
    _inside("GET", "stats", handler=_stats, summary="Show what a container uses", reply=StatsView),
    _inside(
        "GET",
        "get_archive",
        handler=_get_archive,
        summary="Fetch a file or a folder of a container",
        query=PathQuery,
        reply=ArchiveView,
    ),
    _inside(
        "POST",
        "put_archive",
        handler=_put_archive,
        summary="Unpack an archive in a container",
        query=PathQuery,
        body=ArchiveBody,
    ),
    _inside(
        "POST",
        "commit",
        handler=_commit,
        summary="Make an image of a container",
        status=HTTPStatus.ACCEPTED,
        query=CommitQuery,
        reply=CommitView,
    ),
    _inside("POST", "resize", handler=_resize, summary="Set the size of a container's terminal", query=SizeQuery),
)
