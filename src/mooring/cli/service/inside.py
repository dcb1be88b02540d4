"""Containers of the service: what is asked of one while it runs, and what was asked of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mooring.cli.output import Format, Listing, format_option, show, show_json
from mooring.cli.service.options import with_service
from mooring.cli.service.views import ACTIONS, show_answer, show_answers

if TYPE_CHECKING:
    from mooring.cli.service.client import ServiceClient


@click.command()
@click.argument("container")
@click.option("--tail", metavar="N", default="all", show_default=True, help="The last N lines.")
@click.option("--since", help="From this moment on: seconds since 1970, or a date and time.")
@click.option("--timestamps", is_flag=True, help="With the time of each line.")
@with_service
def logs(client: ServiceClient, *, container: str, tail: str, since: str | None, timestamps: bool) -> None:
    """Print what CONTAINER has written."""
    query = {"stdout": True, "stderr": True, "timestamps": timestamps, "tail": tail}
    click.echo(client.logs(container, {**query, **({"since": since} if since else {})}), nl=False)


@click.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("container")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@with_service
@click.pass_context
def execute(context: click.Context, client: ServiceClient, *, container: str, command: tuple[str, ...]) -> None:
    """Run COMMAND in CONTAINER, print what it says, and end with its exit code."""
    execution = client.execute(container, command)
    click.echo(execution.output, nl=False)
    context.exit(execution.exit_code or 0)


@click.command()
@click.argument("container")
@format_option
@with_service
def top(client: ServiceClient, *, container: str, output_format: str) -> None:
    """List the processes of CONTAINER."""
    table = client.top(container)
    if output_format == Format.JSON:
        show_json(table.model_dump(mode="json", by_alias=True))
        return
    show(Listing(headings=table.titles, rows=table.processes, empty="no processes"), output_format)


@click.command()
@click.argument("container")
@format_option
@with_service
def stats(client: ServiceClient, *, container: str, output_format: str) -> None:
    """Show what CONTAINER uses."""
    show_answer(client.stats(container), output_format)


@click.command()
@click.argument("container")
@click.argument("request_id", metavar="[REQUEST]", required=False)
@format_option
@with_service
def actions(client: ServiceClient, *, container: str, request_id: str | None, output_format: str) -> None:
    """List what was asked of CONTAINER and how it ended, or the steps of one REQUEST."""
    if request_id is None:
        show_answers(client.actions(container), ACTIONS, output_format, empty="nothing was asked")
    else:
        show_answer(client.action(container, request_id), output_format)
