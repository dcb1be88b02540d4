"""How a comparison is shown, and what it means for a program."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Final

import click

from mooring.attach.verify import Comparison
from mooring.cli.output import Format, Listing, show

EXIT_DIFFERENT: Final = 1
EXIT_UNSEEN: Final = 3


def show_comparison(comparison: Comparison, output_format: str) -> None:
    """Print what differs, what could not be looked at, and how much was compared."""
    if output_format == Format.JSON:
        click.echo(json.dumps(_object(comparison), indent=2))
        return
    rows = [(note.subject, *asdict(note.difference).values()) for note in comparison.discrepancies]
    if rows or not comparison.unseen:
        headings = ("Subject", "What", "Found", "Wanted")
        show(Listing(headings=headings, rows=rows, empty="all is as it should be"), output_format)
    for unseen in comparison.unseen:
        click.echo(f"not looked at: {unseen.subject}: {unseen.why}")
    click.echo(_summary(comparison))


def _summary(comparison: Comparison) -> str:
    compared = ((comparison.leases, "lease"), (comparison.vfs, "other VF"), (comparison.ports, "bound port"))
    found = f"{_counted(len(comparison.discrepancies), 'difference')}, {len(comparison.unseen)} not looked at"
    return f"compared {', '.join(_counted(*pair) for pair in compared)}: {found}"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def exit_code(comparison: Comparison) -> int:
    """Return 3 when something could not be looked at, else 1 when something differs, else 0."""
    if comparison.unseen:
        return EXIT_UNSEEN
    return EXIT_DIFFERENT if comparison.discrepancies else 0


def _object(comparison: Comparison) -> dict[str, object]:
    return {
        "differences": [{"subject": note.subject, **asdict(note.difference)} for note in comparison.discrepancies],
        "not_looked_at": [asdict(unseen) for unseen in comparison.unseen],
        "compared": {"leases": comparison.leases, "vfs": comparison.vfs, "ports": comparison.ports},
    }
