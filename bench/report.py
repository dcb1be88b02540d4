"""What was measured, beside what was promised."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

Samples = dict[str, dict[str, list[float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure; ``budget`` is the most that it may be, None where nothing was promised."""

    what: str
    value: float
    budget: float | None = None
    remark: str = ""

    @property
    def held(self) -> bool | None:
        """Whether the promise holds."""
        return None if self.budget is None else self.value <= self.budget


@dataclass(slots=True, kw_only=True)
class Report:
    """All figures and samples of one run; ``load`` is the machine's load average when a part had been measured."""

    machine: Mapping[str, object]
    figures: list[Figure] = field(default_factory=list)
    samples: Samples = field(default_factory=dict)
    load: dict[str, float] = field(default_factory=dict)

    def show(self, console: Console) -> None:
        """Print the figures, and the steps that the times are made of."""
        figures = Table("what", "figure", "budget", "", "remark", title="Budgets", title_justify="left")
        for figure in self.figures:
            held = {True: "held", False: "[bold]not held[/bold]", None: ""}[figure.held]
            budget = "" if figure.budget is None else f"{figure.budget:g}"
            figures.add_row(figure.what, f"{figure.value:.3g}", budget, held, figure.remark)
        steps = Table("step", "ms", "of it processor", "smallest", "samples", title="Medians", title_justify="left")
        for name, sample in self.samples.items():
            own = f"{median(sample['processor_ms']):.1f}" if "processor_ms" in sample else ""
            ms = sample["ms"]
            steps.add_row(name, f"{median(ms):.1f}", own, f"{min(ms):.1f}", str(len(ms)))
        console.print(figures, steps)
        console.print("; ".join(f"{name}: {value}" for name, value in self.machine.items()), highlight=False)
        loads = ", ".join(f"{value:.1f} ({part})" for part, value in self.load.items())
        console.print(f"load of the machine: {loads}", highlight=False)

    def write(self, path: Path) -> None:
        """Write everything as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        figures = [asdict(figure) | {"held": figure.held} for figure in self.figures]
        whole = {"machine": dict(self.machine), "load": self.load, "figures": figures, "samples": self.samples}
        path.write_text(json.dumps(whole, indent=2) + "\n")


def ratio(samples: Samples, ours: tuple[str, ...], theirs: tuple[str, ...]) -> float:
    """Return the median, over the rounds, of the sum of our steps to the sum of theirs in the same round."""
    return median(mine / yours for mine, yours in zip(_sums(samples, ours), _sums(samples, theirs), strict=True))


def _sums(samples: Samples, names: tuple[str, ...]) -> list[float]:
    return [sum(steps) for steps in zip(*(samples[name]["ms"] for name in names), strict=True)]
