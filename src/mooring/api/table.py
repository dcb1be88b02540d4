"""Every route that is served."""

from __future__ import annotations

from typing import Final

from mooring.api import (
    actions,
    availability_zones,
    container_inside,
    container_verbs,
    containers,
    hosts,
    images,
    networks,
    quotas,
    services,
)

ROUTES: Final = (
    *containers.ROUTES,
    *container_verbs.ROUTES,
    *container_inside.ROUTES,
    *networks.ROUTES,
    *actions.ROUTES,
    *hosts.ROUTES,
    *services.ROUTES,
    *availability_zones.ROUTES,
    *quotas.ROUTES,
    *images.ROUTES,
)
