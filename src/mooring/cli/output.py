"""How the commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import click

_GAP = "  "


class Format(StrEnum):
    """What ``--format`` accepts."""

    TABLE = "table"
    JSON = "json"


format_option = click.option(
    "--format",
    "output_format",
    type=click.Choice([kind.value for kind in Format]),
    default=Format.TABLE.value,
    show_default=True,
    help="A table for people, or JSON for programs.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Rows under headings. ``empty`` is what a person reads when there are none."""

    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    empty: str


def show(listing: Listing, output_format: str) -> None:
    """Print a listing. JSON keys are the headings in lower case with underscores."""
    if output_format == Format.JSON:
        keys = [heading.lower().replace(" ", "_") for heading in listing.headings]
        show_json([dict(zip(keys, row, strict=True)) for row in listing.rows])
        return
    if not listing.rows:
        click.echo(listing.empty)
        return
    # As wide as the rows need: a cut or folded UUID is of no use to anybody.
    widths = [max(map(len, column)) for column in zip(listing.headings, *listing.rows, strict=True)]
    click.secho(_line(listing.headings, widths), bold=True)
    for row in listing.rows:
        click.echo(_line(row, widths))


def show_json(value: object) -> None:
    """Print what a program is to read."""
    click.echo(json.dumps(value, indent=2))


def _line(row: tuple[str, ...], widths: Sequence[int]) -> str:
    return _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
