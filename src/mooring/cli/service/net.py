"""The ports in a container of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mooring.cli.output import format_option
from mooring.cli.service.options import await_it, wait_options, with_service
from mooring.cli.service.views import ATTACHMENTS, show_answers
from mooring.errors import InvalidRequest

if TYPE_CHECKING:
    from mooring.cli.service.client import ServiceClient

_port_option = click.option("--port", help="A port, by id or name.")
_network_option = click.option("--network", help="A network, by id or name.")


@click.group()
def net() -> None:
    """Put ports into containers and take them out."""


@net.command()
@click.argument("container")
@_port_option
@_network_option
@click.option("--fixed-ip", help="Address of the port that is made on the network.")
@wait_options
@with_service
def attach(
    client: ServiceClient,
    *,
    container: str,
    port: str | None,
    network: str | None,
    fixed_ip: str | None,
    wait: bool,
    timeout: float,
) -> None:
    """Put a port, or a port that is made on a network, into CONTAINER."""
    query = {**_one_of(port, network), **({"fixed_ip": fixed_ip} if fixed_ip else {})}
    accepted = client.change(container, "network_attach", query)
    if wait:
        await_it(client, accepted, timeout)


@net.command()
@click.argument("container")
@_port_option
@_network_option
@wait_options
@with_service
def detach(
    client: ServiceClient, *, container: str, port: str | None, network: str | None, wait: bool, timeout: float
) -> None:
    """Take a port, or all ports of a network, out of CONTAINER."""
    accepted = client.change(container, "network_detach", _one_of(port, network))
    if wait:
        await_it(client, accepted, timeout)


@net.command("list")
@click.argument("container")
@format_option
@with_service
def list_ports(client: ServiceClient, *, container: str, output_format: str) -> None:
    """List the ports in CONTAINER."""
    show_answers(client.networks(container), ATTACHMENTS, output_format, empty="no ports")


def _one_of(port: str | None, network: str | None) -> dict[str, str]:
    if (port is None) == (network is None):
        raise InvalidRequest("name either --port or --network")
    return {"port": port} if port is not None else {"network": str(network)}
