"""The ports of containers: what there is, and what is put in and taken out."""

from __future__ import annotations

from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Final

from pydantic import Field

from mooring.api.reading import Query
from mooring.api.routing import CONTAINER, Call, Route
from mooring.api.views import NetworksView, networks_view
from mooring.controller.api import NetworkWish
from mooring.errors import InvalidRequest

Selector = Annotated[str, Field(min_length=1, max_length=255)]


class DetachQuery(Query):
    """One port, or all of a network; by name or id."""

    port: Selector | None = None
    network: Selector | None = None


class AttachQuery(DetachQuery):
    """A port, or a network on which one is made, at an address of the caller's choice; neither is the own network."""

    fixed_ip: IPv4Address | IPv6Address | None = None


def _list(call: Call[Query, None]) -> NetworksView:
    return networks_view(call.core.lifecycle.find(call.caller, call.key))


def _attach(call: Call[AttachQuery, None]) -> None:
    query = call.query
    wish = None
    if query.port is not None or query.network is not None:
        addresses = () if query.fixed_ip is None else (query.fixed_ip,)
        wish = NetworkWish(port=query.port, network=query.network, addresses=addresses)
    elif query.fixed_ip is not None:
        raise InvalidRequest("fixed_ip goes with port or network")
    call.core.lifecycle.attach(call.caller, call.key, wish)


def _detach(call: Call[DetachQuery, None]) -> None:
    call.core.lifecycle.detach(call.caller, call.key, port=call.query.port, network=call.query.network)


def _forget(_: Call[Query, None]) -> None:
    """Do nothing: Docker's networks come and go with the containers on them."""


ROUTES: Final = (
    Route(
        method="GET",
        path=f"{CONTAINER}/network_list",
        rule="container:network_list",
        handler=_list,
        summary="List a container's ports",
        reply=NetworksView,
    ),
    Route(
        method="POST",
        path=f"{CONTAINER}/network_attach",
        rule="container:network_attach",
        handler=_attach,
        summary="Put a port into a container",
        status=HTTPStatus.ACCEPTED,
        query=AttachQuery,
        also=(HTTPStatus.BAD_GATEWAY,),
    ),
    Route(
        method="POST",
        path=f"{CONTAINER}/network_detach",
        rule="container:network_detach",
        handler=_detach,
        summary="Take a port, or all ports of a network, out of a container",
        status=HTTPStatus.ACCEPTED,
        query=DetachQuery,
    ),
    Route(
        method="DELETE",
        path="/networks/<key>",
        rule="network:delete",
        handler=_forget,
        summary="Forget a network; nothing is kept of one that no container is on",
        status=HTTPStatus.NO_CONTENT,
    ),
)
