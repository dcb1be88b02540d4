"""What a person sees of the demo: commands, their answers, and whether each promise held."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_WIDEST = 1000


class Screen:
    """Prints the demo as it goes and remembers what did not hold."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun = time.monotonic()
        self._failures: list[str] = []
        self._held = 0

    @property
    def failures(self) -> tuple[str, ...]:
        """The promises that did not hold."""
        return tuple(self._failures)

    @property
    def held(self) -> int:
        """How many promises held."""
        return self._held

    def chapter(self, title: str) -> None:
        """Begin a part of the demo."""
        at = f"[dim]at {time.monotonic() - self._begun:.0f} s[/dim]"
        self._console.print(f"\n[bold]{escape(title)}[/bold] {at}", soft_wrap=True, highlight=False)

    def command(self, place: str, command: str) -> None:
        """Show a command that is about to run."""
        self._console.print(f"[dim]{escape(place)}[/dim] $ {escape(command)}", soft_wrap=True, highlight=False)

    def answer(self, text: str) -> None:
        """Show what a command printed."""
        for line in text.strip().splitlines():
            self._console.print(f"    {escape(line)}", soft_wrap=True, highlight=False)

    def promise(self, sentence: str, *, held: bool, otherwise: str = "") -> None:
        """Show whether something held; ``otherwise`` says what was seen instead."""
        if held:
            self._held += 1
            self._console.print(f"  [green]✔[/green] {escape(sentence)}", soft_wrap=True, highlight=False)
            return
        self._failures.append(sentence)
        self._console.print(f"  [red]✘ {escape(sentence)}[/red]", soft_wrap=True, highlight=False)
        self.answer(otherwise)

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Show rows under headings."""
        table = Table(*headings, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        # As wide as the rows need: a cut MAC is of no use to anybody.
        width = Console(width=_WIDEST).measure(table).maximum
        Console(file=self._console.file, width=width).print(table, soft_wrap=True)
