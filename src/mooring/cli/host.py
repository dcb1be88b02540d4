"""The operator's verbs on one host: what they look at is this host's journal, kernel and Neutron.

Each loads what it needs when it is called: a person's shell has nothing that touches a kernel.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from mooring.cli.output import format_option, show
from mooring.cli.service.options import access_options, open_service
from mooring.cli.service.views import show_devices
from mooring.config.load import load

EXIT_FAILED = 1


@click.group()
def pci() -> None:
    """Look at this host's PCI devices, and change how many there are."""


@pci.command("list")
@click.option("--all", "everywhere", is_flag=True, help="Of every host, as the service knows them (administrators).")
@access_options
@format_option
@click.pass_obj
def pci_list(
    config_files: tuple[Path, ...] | None, /, *, everywhere: bool, output_format: str, **access: str | None
) -> None:
    """List the PFs and VFs that this host may hand out: which state, whose port."""
    if everywhere:
        client = open_service(**access)
        show_devices(
            [(host.hostname, it) for host in client.hosts() for it in client.devices(host.hostname)], output_format
        )
        return
    from mooring.attach.drivers.registry import load_port_drivers  # noqa: PLC0415
    from mooring.cli.listings import device_listing  # noqa: PLC0415
    from mooring.node.devices import look_at_devices  # noqa: PLC0415

    settings = load(config_files).settings
    with look_at_devices(settings) as devices:
        show(device_listing(devices, load_port_drivers(settings.port_drivers, devices)), output_format)


@pci.command("set-numvfs")
@click.argument("pf")
@click.argument("vfs", metavar="N", type=click.IntRange(min=0))
@click.pass_obj
def pci_set_numvfs(config_files: tuple[Path, ...] | None, pf: str, vfs: int) -> None:
    """Make the card PF (an interface or a PCI address) show N VFs; all its VFs are made anew.

    Refused while a container has a VF of the card, or the card itself.
    """
    from mooring.node.operations import resize_card  # noqa: PLC0415

    done = resize_card(load(config_files).settings, pf, vfs)
    click.echo(f"card {done.card} shows {done.after} VFs; it had {done.before}")


@click.command()
@format_option
@click.pass_obj
def leases(config_files: tuple[Path, ...] | None, output_format: str) -> None:
    """List the attachments of this host, and debts to Neutron."""
    from mooring.cli.listings import lease_listing  # noqa: PLC0415
    from mooring.node.devices import has_run, look_at_devices  # noqa: PLC0415

    settings = load(config_files).settings
    with look_at_devices(settings) as devices:
        listing = lease_listing(devices.journal.leases(), devices.journal.debts())
    if not has_run(settings):
        listing = replace(listing, empty="mooring node has not run on this host yet")
    show(listing, output_format)


@click.command()
@click.argument("names", metavar="[PORT|ATTACHMENT]...", nargs=-1)
@format_option
@click.pass_context
def verify(context: click.Context, names: tuple[str, ...], output_format: str) -> None:
    """Compare every lease with the kernel and with Neutron, attribute by attribute; change nothing.

    Without names also every free VF, the ports that are bound to this host, and debts. See the exit code: 0 all is as
    it should be, 1 something differs, 3 something could not be looked at.
    """
    from mooring.cli.verify import exit_code, show_comparison  # noqa: PLC0415
    from mooring.node.verifying import open_verifier  # noqa: PLC0415

    with open_verifier(load(context.obj).settings) as verifier:
        comparison = verifier.verify_only(names) if names else verifier.verify()
    show_comparison(comparison, output_format)
    context.exit(exit_code(comparison))


@click.command()
@click.option("--dry-run", is_flag=True, help="Only tell what there is to do.")
@format_option
@click.pass_context
def gc(context: click.Context, *, dry_run: bool, output_format: str) -> None:
    """Take away what is left over: attachments that no container has, ports bound to none, debts, dirt on free VFs."""
    from mooring.cli.listings import deed_listing  # noqa: PLC0415
    from mooring.node.operations import collect_garbage  # noqa: PLC0415

    deeds = collect_garbage(load(context.obj).settings, dry_run=dry_run)
    show(deed_listing(deeds, dry_run=dry_run), output_format)
    context.exit(EXIT_FAILED if any(deed.failure for deed in deeds) else 0)


@click.command()
@format_option
@click.pass_context
def doctor(context: click.Context, output_format: str) -> None:
    """Look for what keeps this host from serving ports: cards, udev, Docker, Neutron; each problem with its remedy."""
    from mooring.cli.doctor.checkup import examine  # noqa: PLC0415
    from mooring.cli.doctor.verdicts import show_verdicts  # noqa: PLC0415

    verdicts = examine(load(context.obj))
    show_verdicts(verdicts, output_format)
    context.exit(0 if all(verdict.is_well for verdict in verdicts) else EXIT_FAILED)
