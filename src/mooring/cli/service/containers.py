"""Containers of the service: made, listed, shown, taken away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from mooring.cli.output import format_option
from mooring.cli.service.nets import parse_nets, parse_pairs
from mooring.cli.service.options import await_it, timeout_option, wait_options, with_service
from mooring.cli.service.views import CONTAINERS, show_answer, show_answers
from mooring.errors import InvalidRequest, ServiceRefused

if TYPE_CHECKING:
    from mooring.cli.service.client import ServiceClient

# What stands after the image is the container's, options too.
_COMMAND_LINE = {"ignore_unknown_options": True, "allow_interspersed_args": False}

_WISHES = (
    click.option("--name", help="Name; otherwise the service finds one."),
    click.option(
        "--nets",
        "--net",
        multiple=True,
        metavar="port=ID|network=ID,…",
        help="A port, or a network on which a port is made (with v4-fixed-ip=… and v6-fixed-ip=…). One for each "
        "interface, in their order; without any, the project's own network.",
    ),
    click.option("--environment", "-e", multiple=True, metavar="KEY=VALUE", help="Environment variable."),
    click.option("--label", multiple=True, metavar="KEY=VALUE", help="Label of the container."),
    click.option(
        "--hint",
        multiple=True,
        metavar="KEY=VALUE",
        help="For the scheduler: pci_passthrough:alias=NAME:COUNT, label:KEY=VALUE.",
    ),
    click.option("--cpu", type=float, help="Processors."),
    click.option("--memory", type=int, help="Memory in MiB."),
    click.option("--disk", type=int, help="Disk in GiB."),
    click.option("--restart", metavar="no|always|unless-stopped|on-failure[:N]", help="When Docker starts it again."),
    click.option("--security-group", multiple=True, help="For ports that are made. Not enforced on SR-IOV ports."),
    click.option("--availability-zone", help="Zone of its host."),
    click.option("--host", help="Its host (administrators)."),
    click.option("--workdir", help="Directory in which the command runs."),
    click.option("--hostname", help="Host name in the container."),
    click.option("--entrypoint", help="Program that is run instead of the image's, with its arguments in quotes."),
    click.option(
        "--image-pull-policy",
        type=click.Choice(["always", "ifnotpresent", "never"]),
        help="When the image is fetched (administrators).",
    ),
    click.option("--auto-remove", is_flag=True, help="Take it away when it has ended."),
    click.option("--privileged", is_flag=True, help="With all rights on its host, where the policy allows that."),
    click.option("--runtime", help="Runtime of its host (administrators)."),
    click.argument("image"),
    click.argument("command", nargs=-1, type=click.UNPROCESSED),
)


def _wishes(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that describe a container."""
    for wish in reversed(_WISHES):
        command = wish(command)
    return command


@click.command(context_settings=_COMMAND_LINE)
@_wishes
@wait_options
@format_option
@with_service
def create(client: ServiceClient, *, wait: bool, timeout: float, output_format: str, **wishes: Any) -> None:  # noqa: ANN401
    """Make a container of IMAGE, to run COMMAND when it is started. Options stand before IMAGE."""
    container, accepted = client.create(_body(wishes), run=False)
    made = await_it(client, accepted, timeout) if wait else container
    show_answer(made or container, output_format)


@click.command(context_settings=_COMMAND_LINE)
@click.option("--interactive", "-i", is_flag=True, help="Not supported.")
@_wishes
@timeout_option
@format_option
@with_service
def run(client: ServiceClient, *, interactive: bool, timeout: float, output_format: str, **wishes: Any) -> None:  # noqa: ANN401
    """Make a container of IMAGE and start it; tells how far it is, and returns when it has been started."""
    if interactive:
        raise InvalidRequest("--interactive is not supported: the service has no terminals; use 'mooring exec'")
    container, accepted = client.create(_body(wishes), run=True)
    started = await_it(client, accepted, timeout)
    show_answer(started or container, output_format)


@click.command("list")
@click.option("--all-projects", is_flag=True, help="Of every project (administrators).")
@click.option("--name", help="Of this name only.")
@click.option("--status", help="In this status only.")
@click.option("--host", help="On this host only (administrators).")
@format_option
@with_service
def list_containers(client: ServiceClient, *, all_projects: bool, output_format: str, **filters: str | None) -> None:
    """List the containers of your project."""
    containers = client.containers(everywhere=all_projects, **filters)
    show_answers(containers, CONTAINERS, output_format, empty="no containers")


@click.command("show")
@click.argument("container")
@format_option
@with_service
def show_container(client: ServiceClient, *, container: str, output_format: str) -> None:
    """Show all that is known of CONTAINER (a name or a uuid)."""
    show_answer(client.container(container), output_format)


@click.command("rm")
@click.argument("containers", metavar="CONTAINER...", nargs=-1, required=True)
@click.option("--stop", is_flag=True, help="Stop it first if it runs.")
@click.option("--force", is_flag=True, help="Whatever it is doing (administrators).")
@wait_options
@with_service
def remove(
    client: ServiceClient, *, containers: tuple[str, ...], stop: bool, force: bool, wait: bool, timeout: float
) -> None:
    """Take containers away. Ports that were given are free again; ports that were made are deleted."""
    pending = [client.delete(_uuid(client, key), stop=stop, force=force) for key in containers]
    if wait:
        for accepted in pending:
            await_it(client, accepted, timeout)


def _uuid(client: ServiceClient, key: str) -> str:
    """Return a container's uuid: its name may be another's by the time that we ask what became of it."""
    try:
        return client.container(key).uuid
    except ServiceRefused:
        # The deletion is asked for all the same, and answered with what is wrong.
        return key


def _body(wishes: Mapping[str, Any]) -> dict[str, object]:
    """Return a container in the API's words; what was not asked for is left to the service."""
    import shlex  # noqa: PLC0415

    entrypoint, restart, groups = wishes["entrypoint"], wishes["restart"], wishes["security_group"]
    plain = ("name", "image", "cpu", "memory", "disk", "availability_zone", "host", "workdir", "hostname", "runtime")
    body = {
        **{key: wishes[key] for key in (*plain, "image_pull_policy")},
        "command": list(wishes["command"]) or None,
        "entrypoint": shlex.split(entrypoint) if entrypoint else None,
        "nets": parse_nets(wishes["nets"]),
        "environment": parse_pairs("--environment", wishes["environment"]),
        "labels": parse_pairs("--label", wishes["label"]),
        "hints": parse_pairs("--hint", wishes["hint"]),
        "restart_policy": _restart_policy(restart) if restart else None,
        "security_groups": list(groups) or None,
        "auto_remove": wishes["auto_remove"] or None,
        "privileged": wishes["privileged"] or None,
    }
    return {key: value for key, value in body.items() if value is not None}


def _restart_policy(text: str) -> dict[str, str]:
    name, _, retries = text.partition(":")
    if retries and not retries.isdecimal():
        raise InvalidRequest(f"--restart {text}: {retries} is no number")
    return {"Name": name, **({"MaximumRetryCount": retries} if retries else {})}
