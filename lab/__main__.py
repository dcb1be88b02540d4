"""The lab's command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from lab.demo import run_demo
from lab.errors import LabError
from lab.image import RELEASES
from lab.lab import Lab
from lab.node import MooringNode
from lab.progress import Progress

KEPT_BY_SUDO = "MOORING_LAB_DIR,MOORING_LAB_CACHE,PIP_INDEX_URL,PIP_CONFIG_FILE"
release_option = click.option(
    "--guest-release",
    type=click.Choice(sorted(RELEASES)),
    default="bookworm",
    show_default=True,
    help="Debian release of the guests.",
)
neutron_option = click.option(
    "--neutron/--no-neutron", default=True, show_default=True, help="Neutron, Keystone and RabbitMQ beside the guests."
)


@contextmanager
def _errors_as_messages() -> Iterator[None]:
    try:
        yield
    except LabError as exc:
        raise click.ClickException(str(exc)) from exc


class _LabGroup(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        with _errors_as_messages():
            return super().invoke(ctx)


@click.group(cls=_LabGroup)
def main() -> None:
    """SR-IOV hardware for everyone: two QEMU guests with emulated Intel 82576 cards."""
    if os.geteuid() != 0:
        words = ["sudo", f"--preserve-env={KEPT_BY_SUDO}", sys.executable, "-m", "lab", *sys.argv[1:]]
        os.execvp("sudo", words)  # noqa: S606  # a shell is what this avoids


@main.command()
@release_option
@neutron_option
def build(guest_release: str, *, neutron: bool) -> None:
    """Build and install everything, and start nothing."""
    Lab.default().build(guest_release, _progress(), neutron=neutron)


@main.command()
@release_option
@neutron_option
def up(guest_release: str, *, neutron: bool) -> None:
    """Start the lab and wait until it is ready."""
    lab = Lab.default()
    lab.up(guest_release, _progress(), neutron=neutron)
    _show(lab)


@main.command()
@release_option
def demo(guest_release: str) -> None:
    """Start the lab, follow kuryr's SR-IOV guide, end the lab; the exit code is 0 only if every promise held."""
    if not run_demo(Lab.default(), guest_release, Console()):
        sys.exit(1)


@main.command()
def down() -> None:
    """End the lab; its logs stay."""
    Lab.default().down()


@main.command()
def status() -> None:
    """Show what runs; the exit code is 1 if the lab is not up."""
    lab = Lab.default()
    if lab.state() is not None:
        _show(lab)
    if not lab.is_up():
        raise click.ClickException(f"the lab in {lab.paths.directory} is not up")


@main.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("node")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(node: str, command: tuple[str, ...]) -> None:
    """Run COMMAND in NODE: several words as they are, a single one as a line of shell."""
    # Only click's own option parser eats a leading "--", and it is switched off here.
    words = command[1:] if command[0] == "--" else command
    sys.exit(Lab.default().guest(node).run_attached(words))


@main.command()
@click.argument("node")
def shell(node: str) -> None:
    """Open a shell in NODE."""
    sys.exit(Lab.default().guest(node).run_attached(()))


@main.command()
def mooring() -> None:
    """Configure mooring in every guest, and start it."""
    lab, progress = Lab.default(), _progress()
    for name in lab.guests():
        node = MooringNode(guest=lab.guest(name), cloud=lab.cloud)
        with progress.stage(f"mooring on {name}"):
            node.configure()
            node.start()


@main.command()
def operator() -> None:
    """Open a shell of the cloud's operator, in which the guide's "neutron" works."""
    environment = Lab.default().cloud.neutron_cli_env()
    sys.exit(subprocess.run(["bash"], env=environment, check=False).returncode)


@main.command()
@click.argument("node")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.argument("target")
def put(node: str, source: Path, target: str) -> None:
    """Copy SOURCE of this machine to TARGET in NODE."""
    Lab.default().guest(node).put(source, target)


@main.command()
@click.argument("node")
@click.argument("source")
@click.argument("target", type=click.Path(path_type=Path))
def get(node: str, source: str, target: Path) -> None:
    """Copy SOURCE in NODE to TARGET of this machine."""
    Lab.default().guest(node).get(source, target)


def _progress() -> Progress:
    return Progress(Console(stderr=True))


def _show(lab: Lab) -> None:
    state = lab.state()
    if state is None:
        return
    table = Table(title=f"{state.guest_release} guests on {state.accelerator}", title_justify="left")
    for heading in ("guest", "pid", "ssh port", "physical network", "PF", "address", "MAC"):
        table.add_column(heading)
    for guest in lab.guests().values():
        process = guest.daemon().process_id()
        for pf in guest.state.pfs:
            pid = str(process.pid) if process else "down"
            table.add_row(guest.name, pid, str(guest.state.ssh_port), pf.physical_network, pf.name, pf.address, pf.mac)
    console = Console()
    console.print(table)
    if state.neutron:
        console.print(
            f"Neutron: {lab.cloud.facts.network_url()}, logs: {lab.cloud.log}", soft_wrap=True, highlight=False
        )
    console.print(f"logs: {lab.paths.log}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main(prog_name="lab")
