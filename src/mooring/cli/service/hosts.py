"""The service as its administrator sees it: hosts, daemons, images, quotas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mooring.cli.output import format_option
from mooring.cli.service.options import with_service
from mooring.cli.service.views import HOSTS, IMAGES, SERVICES, show_answer, show_answers
from mooring.errors import InvalidRequest

if TYPE_CHECKING:
    from mooring.cli.service.client import ServiceClient


@click.group()
def host() -> None:
    """Look at container hosts."""


@host.command("list")
@format_option
@with_service
def list_hosts(client: ServiceClient, *, output_format: str) -> None:
    """List the container hosts, and what is promised of each."""
    show_answers(client.hosts(), HOSTS, output_format, empty="no mooring node has reported yet")


@host.command("show")
@click.argument("name", metavar="HOST")
@format_option
@with_service
def show_host(client: ServiceClient, *, name: str, output_format: str) -> None:
    """Show all that is known of HOST (a name or a uuid)."""
    show_answer(client.host(name), output_format)


@click.group()
def service() -> None:
    """Look at the service's daemons, and take hosts out of service."""


@service.command("list")
@format_option
@with_service
def list_services(client: ServiceClient, *, output_format: str) -> None:
    """List the daemons of the container hosts: which are up, which are enabled."""
    show_answers(client.services(), SERVICES, output_format, empty="no mooring node has reported yet")


@service.command()
@click.argument("name", metavar="HOST")
@with_service
def enable(client: ServiceClient, *, name: str) -> None:
    """Give HOST new containers again."""
    client.set_service(name, "enable")


@service.command()
@click.argument("name", metavar="HOST")
@click.option("--reason", help="Why; shown in the list.")
@with_service
def disable(client: ServiceClient, *, name: str, reason: str | None) -> None:
    """Give HOST no new containers; those that are there go on."""
    client.set_service(name, "disable", {"disabled_reason": reason} if reason else {})


@service.command("force-down")
@click.argument("name", metavar="HOST")
@click.option("--unset", is_flag=True, help="It is back: believe its reports again.")
@with_service
def force_down(client: ServiceClient, *, name: str, unset: bool) -> None:
    """Say that HOST is off for certain.

    Its containers can then be taken away by force, and their ports and devices are free. Never say so of a host that
    may still run: two containers would have one port.
    """
    client.set_service(name, "force_down", {"forced_down": not unset})


@service.command()
@click.argument("name", metavar="HOST")
@with_service
def forget(client: ServiceClient, *, name: str) -> None:
    """Forget HOST, which is gone for good and has no containers."""
    client.forget_service(name)


@click.group()
def image() -> None:
    """Look at images."""


@image.command("list")
@format_option
@with_service
def list_images(client: ServiceClient, *, output_format: str) -> None:
    """List the images that hosts have."""
    show_answers(client.images(), IMAGES, output_format, empty="no images")


@click.group()
def quota() -> None:
    """Look at what projects may have, and change it."""


@quota.command("show")
@click.argument("project", required=False)
@format_option
@with_service
def show_quota(client: ServiceClient, *, project: str | None, output_format: str) -> None:
    """Show what PROJECT, or your own, may have and has."""
    show_answer(client.quota(project or _own_project(client)), output_format)


@quota.command("set")
@click.argument("project")
@click.option("--containers", type=click.IntRange(min=-1), help="How many; -1 for no limit.")
@click.option("--cpu", type=click.IntRange(min=-1), help="Processors.")
@click.option("--memory", type=click.IntRange(min=-1), help="MiB.")
@click.option("--disk", type=click.IntRange(min=-1), help="GiB.")
@with_service
def set_quota(client: ServiceClient, *, project: str, **limits: int | None) -> None:
    """Set what PROJECT may have; what is not named stays."""
    asked = {name: limit for name, limit in limits.items() if limit is not None}
    if not asked:
        raise InvalidRequest("name at least one of --containers, --cpu, --memory, --disk")
    client.set_quota(project, asked)


def _own_project(client: ServiceClient) -> str:
    project = client.own_project()
    if project is None:
        raise InvalidRequest("it is not known which project is yours; name one")
    return project
