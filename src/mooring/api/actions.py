"""What was asked of a container, and how it ended."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from mooring.api.reading import Query
from mooring.api.routing import CONTAINER, Call, Route
from mooring.api.views import View, without_zone
from mooring.db.api import Action


class ActionView(View):
    """One request; ``message`` is null, or the cause of its failure."""

    action: str
    container_uuid: str
    request_id: str
    project_id: str
    user_id: str
    start_time: str
    finish_time: str | None
    message: str | None


class EventView(View):
    """One step of a request; administrators see its traceback."""

    event: str
    start_time: str
    finish_time: str | None
    result: str | None
    traceback: str | None


class DetailedActionView(ActionView):
    """One request with its steps."""

    events: tuple[EventView, ...]


class ActionsView(View):
    """The requests of a container, the newest first."""

    actions: tuple[ActionView, ...] = Field(alias="containerActions")


def _list(call: Call[Query, None]) -> ActionsView:
    container = call.core.lifecycle.find(call.caller, call.key)
    return ActionsView(actions=tuple(_view(action) for action in call.core.store.actions(container.uuid)))


def _show(call: Call[Query, None]) -> DetailedActionView:
    container = call.core.lifecycle.find(call.caller, call.key)
    action = call.core.store.action(container.uuid, call.names["request_id"])
    return DetailedActionView(
        **dict(_view(action)),
        events=tuple(
            EventView(
                event=event.name,
                start_time=without_zone(event.start) or "",
                finish_time=without_zone(event.finish),
                result=event.result,
                traceback=event.traceback if call.caller.is_admin else None,
            )
            for event in action.events
        ),
    )


def _view(action: Action) -> ActionView:
    return ActionView(
        action=action.action,
        container_uuid=action.container,
        request_id=action.request_id,
        project_id=action.project_id,
        user_id=action.user_id,
        start_time=without_zone(action.start) or "",
        finish_time=without_zone(action.finish),
        message=action.message,
    )


ROUTES: Final = (
    Route(
        method="GET",
        path=f"{CONTAINER}/container_actions",
        rule="container:actions",
        handler=_list,
        summary="List what was asked of a container",
        reply=ActionsView,
    ),
    Route(
        method="GET",
        path=f"{CONTAINER}/container_actions/<request_id>",
        rule="container:actions",
        handler=_show,
        summary="Show one request and its steps",
        reply=DetailedActionView,
    ),
)
