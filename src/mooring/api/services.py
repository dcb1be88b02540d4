"""The service's processes as Zun shows them: the node of each host, for administrators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from mooring.api.paging import PageQuery, paged
from mooring.api.reading import Query
from mooring.api.routing import Call, Route
from mooring.api.views import View, without_zone
from mooring.db.api import Host, Store
from mooring.errors import HostNotFound

BINARY: Final = "mooring-node"

_PAGE: Final = 1000

Text = Annotated[str, Field(min_length=1, max_length=255)]


class ServicesQuery(PageQuery):
    """Which services are wanted, and in which order: all, where no limit is asked for; a marker is a service's id."""

    sort_key: Literal[
        "id",
        "host",
        "binary",
        "state",
        "disabled",
        "disabled_reason",
        "forced_down",
        "report_count",
        "availability_zone",
        "last_seen_up",
        "created_at",
        "updated_at",
    ] = "id"


class ServiceQuery(Query):
    """A host's node."""

    host: Text
    binary: Text


class DisableQuery(ServiceQuery):
    """Why no new containers are to come to a host."""

    disabled_reason: Text | None = None


class ForceDownQuery(ServiceQuery):
    """Whether a host is to be taken for gone, whatever it says."""

    forced_down: bool = True


class ServiceView(View):
    """The node of a host."""

    id: int
    host: str
    binary: str
    state: str
    disabled: bool
    disabled_reason: str | None
    forced_down: bool
    report_count: int
    availability_zone: str
    last_seen_up: str
    created_at: str
    updated_at: str


class ServicesView(View):
    """All of them, or a page; ``next`` is where the next one is."""

    services: tuple[ServiceView, ...]
    next: str | None


class ChangedService(View):
    """What the operator says of a node."""

    host: str
    binary: str
    disabled: bool
    disabled_reason: str | None
    forced_down: bool


class ChangedServiceView(View):
    """A node that was changed."""

    service: ChangedService


def every_host(store: Store) -> Iterator[Host]:
    """Return all hosts, page by page."""
    marker: str | None = None
    while page := store.hosts(marker=marker, limit=_PAGE):
        yield from page
        if len(page) < _PAGE:
            return
        marker = page[-1].uuid


def _list(call: Call[ServicesQuery, None]) -> ServicesView:
    silent_since = call.core.clock() - timedelta(seconds=call.core.settings.silent_s)
    services = (_view(host, silent_since) for host in every_host(call.core.store))
    page, more = paged(services, call.query, path="/services", mark=lambda service: str(service.id))
    return ServicesView(services=page, next=more)


def _view(host: Host, silent_since: datetime) -> ServiceView:
    return ServiceView(
        id=host.row,
        host=host.name,
        binary=BINARY,
        state="down" if host.forced_down or host.seen_at < silent_since else "up",
        disabled=host.disabled,
        disabled_reason=host.disabled_reason or None,
        forced_down=host.forced_down,
        report_count=host.report_count,
        availability_zone=host.facts.availability_zone,
        last_seen_up=without_zone(host.seen_at) or "",
        created_at=without_zone(host.created_at) or "",
        updated_at=without_zone(host.updated_at) or "",
    )


def _enable(call: Call[ServiceQuery, None]) -> ChangedServiceView:
    return _changed(call.core.store.set_host(_host(call), disabled=False))


def _disable(call: Call[DisableQuery, None]) -> ChangedServiceView:
    # None would leave the reason of an earlier time.
    reason = call.query.disabled_reason or ""
    return _changed(call.core.store.set_host(_host(call), disabled=True, disabled_reason=reason))


def _force_down(call: Call[ForceDownQuery, None]) -> ChangedServiceView:
    return _changed(call.core.store.set_host(_host(call), forced_down=call.query.forced_down))


def _delete(call: Call[ServiceQuery, None]) -> None:
    call.core.store.forget_host(_host(call))


def _host(call: Call[Any, None]) -> str:
    """Return the name of the host that is meant; raise HostNotFound."""
    name: str = call.query.host
    if call.query.binary != BINARY:
        raise HostNotFound(f"{name} with a service {call.query.binary}")
    return call.core.store.host(name).name


def _changed(host: Host) -> ChangedServiceView:
    return ChangedServiceView(
        service=ChangedService(
            host=host.name,
            binary=BINARY,
            disabled=host.disabled,
            disabled_reason=host.disabled_reason or None,
            forced_down=host.forced_down,
        )
    )


def _change(
    name: str, handler: Callable[[Call[Any, Any]], ChangedServiceView], summary: str, query: type[Query]
) -> Route:
    return Route(
        method="PUT",
        path=f"/services/{name}",
        rule=f"zun-service:{name}",
        handler=handler,
        summary=summary,
        query=query,
        reply=ChangedServiceView,
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/services",
        rule="zun-service:get_all",
        handler=_list,
        summary="List the nodes, and whether they are heard of",
        query=ServicesQuery,
        reply=ServicesView,
    ),
    _change("enable", _enable, "Let new containers come to a host again", ServiceQuery),
    _change("disable", _disable, "Let no new containers come to a host", DisableQuery),
    _change("force_down", _force_down, "Take a host for gone, or not any more", ForceDownQuery),
    Route(
        method="DELETE",
        path="/services",
        rule="zun-service:delete",
        handler=_delete,
        summary="Forget a host that has no containers; it comes back when its node reports again",
        status=HTTPStatus.NO_CONTENT,
        query=ServiceQuery,
    ),
)
