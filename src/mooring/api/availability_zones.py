"""The availability zones that hosts say they are in."""

from __future__ import annotations

from typing import Final

from mooring.api.reading import Query
from mooring.api.routing import Call, Route
from mooring.api.services import every_host
from mooring.api.views import View


class ZoneView(View):
    """One zone."""

    availability_zone: str


class ZonesView(View):
    """All zones."""

    availability_zones: tuple[ZoneView, ...]


def _list(call: Call[Query, None]) -> ZonesView:
    names = sorted({host.facts.availability_zone for host in every_host(call.core.store)})
    return ZonesView(availability_zones=tuple(ZoneView(availability_zone=name) for name in names))


ROUTES: Final = (
    Route(
        method="GET",
        path="/availability_zones",
        rule="availability_zones:get_all",
        handler=_list,
        summary="List availability zones",
        reply=ZonesView,
    ),
)
