"""The daemons: each runs in the foreground until it is told to stop."""

from __future__ import annotations

from pathlib import Path

import click

from mooring.config.load import load


@click.command()
@click.pass_obj
def node(config_files: tuple[Path, ...] | None) -> None:
    """Run the daemon of a container host in the foreground."""
    # What speaks to Neutron and Docker is large, and the commands that only look do without it.
    from mooring.node.daemon import run  # noqa: PLC0415

    run(load(config_files))
