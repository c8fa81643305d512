"""The picture of a comparison, out of its JSON alone: ratios with intervals on one axis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .pages import environment

WIDTH, LEFT, RIGHT, TOP, STEP, BOTTOM = 760.0, 170.0, 150.0, 34.0, 30.0, 44.0
#: Ratios that an axis may have a line at.
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)


@dataclass(slots=True)
class Line:
    """One batch size and concurrency: positions of the ratio, its interval and the pairs."""

    label: str
    y: float
    x: float
    low: float
    high: float
    dots: list[float]
    told: str


@dataclass(slots=True)
class Forest:
    """A picture of ratios; ``one`` is where neither side is ahead."""

    title: str
    better: str
    width: float
    height: float
    floor: float
    one: float
    ticks: list[tuple[float, str]]
    lines: list[Line]


def forest(made: Mapping[str, Any], what: str, title: str, better: str) -> Forest:
    """The ratios ``what`` ("throughput" or "latency") of every row, on a logarithmic axis."""
    rows = made["rows"]
    shown = [v for row in rows for v in (*row[f"{what}_interval"], *row[f"{what}_pairs"], 1.0)]
    known = [math.log(v) for v in shown if 0.01 <= v <= 100]
    first, last = min(known) - 0.08, max(known) + 0.08

    def at(value: float) -> float:
        inside = min(max(math.log(value) if value > 0 else first, first), last)
        return round(LEFT + (inside - first) / (last - first) * (WIDTH - LEFT - RIGHT), 2)

    lines = []
    for number, row in enumerate(rows):
        low, high = row[f"{what}_interval"]
        lines.append(
            Line(
                f"batch {row['batch']}, {row['concurrency']} at once",
                TOP + STEP * (number + 0.5), at(row[what]), at(low), at(high),
                [at(value) for value in row[f"{what}_pairs"]],
                f"{row[what]:.2f} [{low:.2f}, {'>99' if high > 99 else f'{high:.2f}'}]",
            )
        )  # fmt: skip
    ticks = [(at(t), f"{t:g}") for t in TICKS if first <= math.log(t) <= last]
    floor = TOP + STEP * len(rows)
    return Forest(title, better, WIDTH, floor + BOTTOM, floor, at(1.0), ticks, lines)


def page(made: Mapping[str, Any]) -> str:
    """One self-contained HTML page."""
    pictures = [
        forest(made, "throughput", "Throughput, Triton ÷ in process", "right of 1: Triton"),
        forest(made, "latency", "Median latency, Triton ÷ in process", "left of 1: Triton"),
    ]
    return environment().get_template("comparison.html").render(made=made, pictures=pictures)
