"""The command line: ``mooring node`` runs the daemon, the other commands look at the host.

Exit codes: 0 done, 1 refused or failed (standard error says why), 2 the command or the configuration is wrong.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

import mooring
from mooring.cli.host import device_listing, lease_listing
from mooring.cli.output import format_option, show
from mooring.config.load import load
from mooring.errors import InvalidConfiguration, MooringError
from mooring.node.devices import has_run, look_at_devices

EXIT_FAILED = 1
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


@cli.command()
@click.pass_obj
def node(config_files: tuple[Path, ...] | None) -> None:
    """Run the daemon of a container host in the foreground."""
    # What speaks to Neutron and Docker is large, and the commands that only look do without it.
    from mooring.node.daemon import run  # noqa: PLC0415

    run(load(config_files))


@cli.group()
def pci() -> None:
    """Look at this host's PCI devices."""


@pci.command("list")
@format_option
@click.pass_obj
def pci_list(config_files: tuple[Path, ...] | None, output_format: str) -> None:
    """List the PFs and VFs that this host may hand out: which state, whose port."""
    with look_at_devices(load(config_files).settings) as devices:
        show(device_listing(devices.pool.statuses(), devices.kernel), output_format)


@cli.command()
@format_option
@click.pass_obj
def leases(config_files: tuple[Path, ...] | None, output_format: str) -> None:
    """List the attachments that hold a VF, and debts to Neutron."""
    settings = load(config_files).settings
    with look_at_devices(settings) as devices:
        listing = lease_listing(devices.journal.leases(), devices.journal.debts())
    if not has_run(settings):
        listing = replace(listing, empty="mooring node has not run on this host yet")
    show(listing, output_format)


def main() -> None:
    """Run the command line; tell errors of mooring in one sentence."""
    try:
        cli()
    except InvalidConfiguration as exc:
        click.echo(f"mooring: {exc}", err=True)
        sys.exit(EXIT_MISUSED)
    except MooringError as exc:
        click.echo(f"mooring: {exc}", err=True)
        sys.exit(EXIT_FAILED)
