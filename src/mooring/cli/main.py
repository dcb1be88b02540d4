"""The command line: the daemons, the operator's verbs on one host, and the container service from a person's shell.

Exit codes: 0 done, and what was looked at is as it should be. 1 refused or failed (standard error says why; with
``--wait`` and for ``run`` also when what the service began has failed, or not ended in time); for ``verify`` something
differs, for ``doctor`` something is wrong, for ``gc`` something could not be done. 2 the command or the configuration
is wrong. 3 ``verify`` could not look at something (Neutron or a card is away), whatever else it found. ``exec`` ends
with the exit code of the command in the container.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click
import structlog

import mooring
from mooring.cli import daemons, host
from mooring.cli.host import EXIT_FAILED
from mooring.cli.service import changes, containers, hosts, inside, net
from mooring.errors import InvalidInput, MooringError

EXIT_MISUSED = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(mooring.__version__, prog_name="mooring")
@click.option(
    "--config-file",
    "config_files",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="Read this file instead of the usual ones; may be repeated, the last one wins.",
)
@click.pass_context
def cli(context: click.Context, config_files: tuple[Path, ...]) -> None:
    """Give containers SR-IOV virtual functions of Neutron ports."""
    context.obj = config_files or None
    # Standard output is for the answer.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


_COMMANDS = (
    *(daemons.node, daemons.controller, daemons.all_in_one, daemons.db),
    *(host.pci, host.leases, host.verify, host.gc, host.doctor),
    *(containers.create, containers.run, containers.list_containers, containers.show_container, containers.remove),
    *changes.CHANGES,
    *(inside.logs, inside.execute, inside.top, inside.stats, inside.actions),
    *(net.net, hosts.host, hosts.service, hosts.image, hosts.quota),
)
for _command in _COMMANDS:
    cli.add_command(_command)
# Zun's word for it.
cli.add_command(containers.remove, "delete")


def main() -> None:
    """Run the command line; tell errors of mooring in one sentence."""
    try:
        cli()
    except InvalidInput as exc:
        click.echo(f"mooring: {exc}", err=True)
        sys.exit(EXIT_MISUSED)
    except MooringError as exc:
        click.echo(f"mooring: {exc}", err=True)
        sys.exit(EXIT_FAILED)
