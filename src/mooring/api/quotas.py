"""How much a project may have."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

from pydantic import Field

from mooring.api.reading import Body, Query
from mooring.api.routing import Call, Route
from mooring.api.views import View
from mooring.db.api import Resource

PROJECT: Final = "/quotas/<key>"

# -1 is no limit.
Limit = Annotated[int, Field(ge=-1, le=2**31 - 1)]


class QuotaQuery(Query):
    """Whether it is told, too, how much is in use."""

    usages: bool = False


class QuotaBody(Body):
    """New limits; those left out stay, -1 is none."""

    containers: Limit | None = None
    cpu: Limit | None = None
    memory: Limit | None = None
    disk: Limit | None = None


class Used(View):
    """A limit, and how much of it is in use."""

    limit: float
    in_use: float


class QuotaView(View):
    """The limits of a project: containers, processors, MiB, GiB; -1 is none."""

    containers: float
    cpu: float
    memory: float
    disk: float


class UsedQuotaView(View):
    """The limits of a project, and what is in use."""

    containers: Used
    cpu: Used
    memory: Used
    disk: Used


def _show(call: Call[QuotaQuery, None]) -> QuotaView | UsedQuotaView:
    if call.key != call.caller.project_id:
        call.require("quota:get_other")
    limits = _limits(call)
    if not call.query.usages:
        return QuotaView(**limits)
    in_use = call.core.store.usage(call.key)
    return UsedQuotaView(
        **{name: Used(limit=limit, in_use=in_use.get(name, 0)) for name, limit in limits.items()},
    )


def _defaults(call: Call[Query, None]) -> QuotaView:
    return QuotaView(**_configured(call))


def _change(call: Call[Query, QuotaBody]) -> QuotaView:
    limits: Mapping[Resource, float] = call.body.model_dump(exclude_none=True)  # type: ignore[assignment]
    call.core.store.set_quotas(call.key, limits)
    return QuotaView(**_limits(call))


def _delete(call: Call[Query, None]) -> None:
    call.core.store.delete_quotas(call.key)


def _limits(call: Call[Any, Any]) -> dict[Resource, float]:
    return _configured(call) | dict(call.core.store.quotas(call.key))


def _configured(call: Call[Any, Any]) -> dict[Resource, float]:
    configured = call.core.settings.quotas
    return {name: configured.get(name, -1) for name in _RESOURCES}


_RESOURCES: Final[tuple[Resource, ...]] = ("containers", "cpu", "memory", "disk")

ROUTES: Final = (
    Route(
        method="GET",
        path=PROJECT,
        rule="quota:get",
        handler=_show,
        summary="Show how much a project may have",
        query=QuotaQuery,
        reply=UsedQuotaView | QuotaView,
    ),
    Route(
        method="PUT",
        path=PROJECT,
        rule="quota:update",
        handler=_change,
        summary="Change how much a project may have",
        body=QuotaBody,
        reply=QuotaView,
    ),
    Route(
        method="DELETE",
        path=PROJECT,
        rule="quota:delete",
        handler=_delete,
        summary="Give a project the configured limits again",
        status=HTTPStatus.NO_CONTENT,
    ),
    Route(
        method="GET",
        path=f"{PROJECT}/defaults",
        rule="quota:get_default",
        handler=_defaults,
        summary="Show the configured limits",
        reply=QuotaView,
    ),
)
