"""Containers of the service: started, stopped, and what else is done to one that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mooring.cli.service.options import await_it, wait_options, with_service

if TYPE_CHECKING:
    from mooring.cli.service.client import ServiceClient

_PLAIN = {
    "start": ("start", "Start CONTAINER."),
    "pause": ("pause", "Freeze the processes of CONTAINER."),
    "unpause": ("unpause", "Let the processes of CONTAINER go on."),
}
_TIMED = {
    "stop": ("stop", "Stop CONTAINER."),
    "restart": ("reboot", "Stop CONTAINER and start it."),
}

_time_option = click.option(
    "--time",
    "-t",
    "seconds",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Seconds before it is killed.",
)


def _plain(name: str, verb: str, text: str) -> click.Command:
    @click.command(name, help=text)
    @click.argument("container")
    @wait_options
    @with_service
    def change(client: ServiceClient, *, container: str, wait: bool, timeout: float) -> None:
        accepted = client.change(container, verb)
        if wait:
            await_it(client, accepted, timeout)

    return change


def _timed(name: str, verb: str, text: str) -> click.Command:
    @click.command(name, help=text)
    @click.argument("container")
    @_time_option
    @wait_options
    @with_service
    def change(client: ServiceClient, *, container: str, seconds: int, wait: bool, timeout: float) -> None:
        accepted = client.change(container, verb, {"timeout": seconds})
        if wait:
            await_it(client, accepted, timeout)

    return change


@click.command()
@click.argument("container")
@click.option("--signal", "-s", default="SIGKILL", show_default=True, help="Name or number of the signal.")
@wait_options
@with_service
def kill(client: ServiceClient, *, container: str, signal: str, wait: bool, timeout: float) -> None:
    """Send a signal to CONTAINER."""
    accepted = client.change(container, "kill", {"signal": signal})
    if wait:
        await_it(client, accepted, timeout)


CHANGES = (
    *(_plain(name, verb, text) for name, (verb, text) in _PLAIN.items()),
    *(_timed(name, verb, text) for name, (verb, text) in _TIMED.items()),
    kill,
)
