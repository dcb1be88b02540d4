"""Containers as a collection, and one by one: list, create, show, change, delete."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

from pydantic import Field

from mooring.api.fields import Limit
from mooring.api.reading import Query
from mooring.api.routing import CONTAINER, Call, Located, Route
from mooring.api.schemas import ChangeBody, CreateBody
from mooring.api.views import ContainerView, PlacedContainerView, View, container_view
from mooring.container.model import Container
from mooring.db.api import ContainerQuery

PAGE: Final = 1000
"""How many are listed where no limit is asked for, and at most."""

_FILTERS: Final = frozenset(
    {"name", "image", "user_id", "memory", "host", "task_state", "status", "auto_remove", "uuid"},
)

Text = Annotated[str, Field(max_length=255)]
SortKey = Literal[
    "created_at",
    "id",
    "uuid",
    "name",
    "image",
    "user_id",
    "memory",
    "host",
    "task_state",
    "status",
    "auto_remove",
]


class ListQuery(Query):
    """Which containers are wanted; filters are compared exactly."""

    all_projects: bool = False
    marker: Text | None = None
    limit: Limit = PAGE
    sort_key: SortKey = "created_at"
    sort_dir: Literal["asc", "desc"] = "asc"
    name: Text | None = None
    image: Text | None = None
    project_id: Text | None = None
    user_id: Text | None = None
    memory: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    host: Text | None = None
    task_state: Text | None = None
    status: Text | None = None
    auto_remove: bool | None = None
    uuid: Text | None = None


class CreateQuery(Query):
    """Whether the container is started, too."""

    run: bool = False


class ShowQuery(Query):
    """Whether containers of all projects are looked through."""

    all_projects: bool = False


class DeleteQuery(Query):
    """How a container is deleted: stopped before, or whatever its state is."""

    force: bool = False
    stop: bool = False
    all_projects: bool = False


class ContainersView(View):
    """A page of containers; ``next`` is where the next one is."""

    containers: tuple[PlacedContainerView | ContainerView, ...]
    next: str | None


def _view(call: Call[Any, Any], container: Container) -> ContainerView:
    return container_view(container, root=call.root, placed=call.may("container:placement"))


def _list(call: Call[ListQuery, None]) -> ContainersView:
    query = call.query
    if query.all_projects:
        call.require("container:get_all_all_projects")
    if query.host is not None or query.sort_key == "host":
        call.require("container:placement")
    # Another project's id is a filter like others: none of the caller's containers has it.
    project = query.project_id if query.all_projects else call.caller.project_id
    if not query.all_projects and query.project_id not in (None, project):
        return ContainersView(containers=(), next=None)
    found = call.core.store.containers(
        ContainerQuery(
            project_id=project,
            filters=query.model_dump(include=set(_FILTERS), exclude_none=True),
            marker=query.marker,
            # One more tells whether there is a next page.
            limit=query.limit + 1,
            sort_key="created_at" if query.sort_key == "id" else query.sort_key,
            descending=query.sort_dir == "desc",
        )
    )
    page = found[: query.limit]
    return ContainersView(
        containers=tuple(_view(call, container) for container in page),
        next=_next(query, page[-1].uuid) if len(found) > query.limit else None,
    )


def _next(query: ListQuery, marker: str) -> str:
    # Without the deployment's prefix, which clients add by themselves.
    asked = query.model_dump(exclude_unset=True) | {"limit": query.limit, "marker": marker}
    return f"/v1/containers?{urlencode(asked)}"


def _create(call: Call[CreateQuery, CreateBody]) -> Located:
    body = call.body
    for wanted, rule in (
        (body.host, "requested_destination"),
        (body.runtime, "runtime"),
        (body.image_pull_policy, "image_pull_policy"),
        (body.privileged, "privileged"),
    ):
        if wanted:
            call.require(f"container:create:{rule}")
    spec = body.spec(pull_policy=call.core.settings.image_pull_policy)
    nets = [net.value for net in body.nets or ()]
    container = call.core.lifecycle.create(call.caller, spec, nets, run=call.query.run)
    return Located(body=_view(call, container), location=f"{call.root}/v1/containers/{container.uuid}")


def _show(call: Call[ShowQuery, None]) -> ContainerView:
    if call.query.all_projects:
        call.require("container:get_one_all_projects")
    return _view(call, call.core.lifecycle.find(call.caller, call.key, everywhere=call.query.all_projects))


def _change(call: Call[Query, ChangeBody]) -> ContainerView:
    return _view(call, call.core.lifecycle.update(call.caller, call.key, call.body.value))


def _delete(call: Call[DeleteQuery, None]) -> None:
    query = call.query
    if query.force:
        call.require("container:delete_force")
    if query.all_projects:
        call.require("container:delete_all_projects")
    call.core.lifecycle.delete(call.caller, call.key, stop=query.stop, force=query.force, everywhere=query.all_projects)


_CONTAINER: Final = PlacedContainerView | ContainerView

ROUTES: Final = (
    Route(
        method="GET",
        path="/containers",
        rule="container:get_all",
        handler=_list,
        summary="List containers",
        query=ListQuery,
        reply=ContainersView,
    ),
    Route(
        method="POST",
        path="/containers",
        rule="container:create",
        handler=_create,
        summary="Create a container, and with run=true start it",
        status=HTTPStatus.ACCEPTED,
        query=CreateQuery,
        body=CreateBody,
        json_only=True,
        reply=_CONTAINER,
    ),
    Route(
        method="GET",
        path=CONTAINER,
        rule="container:get_one",
        handler=_show,
        summary="Show a container",
        query=ShowQuery,
        reply=_CONTAINER,
    ),
    Route(
        method="PATCH",
        path=CONTAINER,
        rule="container:update",
        handler=_change,
        summary="Change a container's name, processors, memory or healing",
        body=ChangeBody,
        reply=_CONTAINER,
    ),
    Route(
        method="DELETE",
        path=CONTAINER,
        rule="container:delete",
        handler=_delete,
        summary="Delete a container",
        status=HTTPStatus.NO_CONTENT,
        query=DeleteQuery,
    ),
    Route(
        method="POST",
        path=f"{CONTAINER}/resize_container",
        rule="container:resize_container",
        handler=_change,
        summary="Change a container's processors or memory",
        status=HTTPStatus.ACCEPTED,
        body=ChangeBody,
        reply=_CONTAINER,
    ),
)
