"""The daemons: each runs in the foreground until it is told to stop."""

from __future__ import annotations

from pathlib import Path

import click

from mooring.config.load import load, load_all_in_one, load_controller


@click.command()
@click.pass_obj
def node(config_files: tuple[Path, ...] | None) -> None:
    """Run the daemon of a container host in the foreground."""
    # What speaks to Neutron and Docker is large, and the commands that only look do without it.
    from mooring.node.daemon import run  # noqa: PLC0415

    run(load(config_files))


@click.command()
@click.pass_obj
def controller(config_files: tuple[Path, ...] | None) -> None:
    """Run a controller of the container service in the foreground."""
    from mooring.controller.daemon import run  # noqa: PLC0415

    run(load_controller(config_files))


@click.command("all-in-one")
@click.pass_obj
def all_in_one(config_files: tuple[Path, ...] | None) -> None:
    """Run a container host and a controller in one process, to try the service on one machine."""
    from mooring.controller.all_in_one import run  # noqa: PLC0415

    run(load_all_in_one(config_files))


@click.group()
def db() -> None:
    """Look after the container service's database."""


@db.command()
@click.pass_obj
def current(config_files: tuple[Path, ...] | None) -> None:
    """Tell which version the database's tables have, and which this mooring needs."""
    from mooring.db import migrations  # noqa: PLC0415

    version = migrations.current(load_controller(config_files).settings.database_url)
    click.echo(f"the tables are of version {version or 'none: there are none'}; needed is {migrations.newest()}")


@db.command()
@click.pass_obj
def upgrade(config_files: tuple[Path, ...] | None) -> None:
    """Bring the database to the version that this mooring needs; run it once, before new controllers start."""
    from mooring.db import migrations  # noqa: PLC0415

    version = migrations.upgrade(load_controller(config_files).settings.database_url)
    click.echo(f"the tables are of version {version}")
