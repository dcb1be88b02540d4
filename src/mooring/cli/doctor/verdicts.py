"""What a check says, and how it is shown."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

import click

from mooring.cli.output import Format


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to be said of something that was looked at. ``remedy`` says what to do where it is not well."""

    check: str
    told: str
    is_well: bool
    remedy: str = ""


def well(check: str, told: str) -> Verdict:
    """Say that something is as it should be."""
    return Verdict(check=check, told=told, is_well=True)


def wrong(check: str, told: str, remedy: str = "") -> Verdict:
    """Say that something is not, and what to do, unless ``told`` does: the sentence of an error that says it itself."""
    return Verdict(check=check, told=told, is_well=False, remedy=remedy)


def show_verdicts(verdicts: Collection[Verdict], output_format: str) -> None:
    """Print what was found, a line each, and below each problem its remedy."""
    if output_format == Format.JSON:
        click.echo(json.dumps([_object(verdict) for verdict in verdicts], indent=2))
        return
    width = max(len(verdict.check) for verdict in verdicts)
    for verdict in verdicts:
        result = "ok     " if verdict.is_well else click.style("PROBLEM", bold=True)
        click.echo(f"{result}  {verdict.check:<{width}}  {verdict.told}")
        if verdict.remedy:
            click.echo(f"{'':<{width + 11}}remedy: {verdict.remedy}")
    problems = sum(not verdict.is_well for verdict in verdicts)
    click.echo(f"{len(verdicts)} things looked at, {problems} problems")


def _object(verdict: Verdict) -> dict[str, object]:
    return {"check": verdict.check, "ok": verdict.is_well, "found": verdict.told, "remedy": verdict.remedy}
