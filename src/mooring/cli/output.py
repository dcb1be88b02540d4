"""How the commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import click
from rich.console import Console
from rich.table import Table

_WIDEST = 1000


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
        click.echo(json.dumps([dict(zip(keys, row, strict=True)) for row in listing.rows], indent=2))
        return
    if not listing.rows:
        click.echo(listing.empty)
        return
    table = Table(*listing.headings, box=None, pad_edge=False, header_style="bold")
    for row in listing.rows:
        table.add_row(*row)
    # As wide as the rows need: a cut or folded UUID is of no use to anybody.
    width = Console(width=_WIDEST).measure(table).maximum
    Console(width=width, soft_wrap=True).print(table)
