"""A picture of ratios with intervals on one logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, LEFT, RIGHT, TOP, STEP, BOTTOM = 760.0, 170.0, 150.0, 34.0, 30.0, 44.0
#: Ratios that an axis may have a line at.
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
#: How far an axis goes beyond the ratios themselves for the sake of their intervals.
_BEYOND = math.log(1.5)
#: More of them, where the axis is short.
NARROW = (0.6, 0.7, 0.8, 0.9, 1.1, 1.25, 1.5)


@dataclass(frozen=True, slots=True)
class Ratio:
    """One line to draw: a ratio, its interval, and the pairs that it is made of.

    ``tone``: "", or what colours it: "good", "bad", "dim".
    """

    label: str
    value: float
    interval: tuple[float, float]
    pairs: Sequence[float]
    tone: str = ""


@dataclass(slots=True)
class Line:
    """Positions of a ratio, its interval and the pairs."""

    label: str
    y: float
    x: float
    low: float
    high: float
    dots: list[float]
    told: str
    tone: str


@dataclass(slots=True)
class Forest:
    """A picture; ``one`` is where neither side is ahead. ``left`` and ``right`` end the axis."""

    title: str
    better: str
    width: float
    height: float
    left: float
    right: float
    floor: float
    one: float
    ticks: list[tuple[float, str]]
    lines: list[Line]


def forest(ratios: Sequence[Ratio], title: str, better: str, *, left: float = LEFT) -> Forest:
    """Draw the ratios; ``left`` is the room for their labels."""
    shown = [v for one in ratios for v in (*one.interval, *one.pairs)] + [1.0]
    known = [math.log(v) for v in shown if 0.01 <= v <= 100]
    values = [math.log(min(max(one.value, 0.01), 100)) for one in ratios] + [0.0]
    # An interval that says nothing would press all others together: the axis cuts it off.
    first = max(min(known), min(values) - _BEYOND) - 0.08
    last = min(max(known), max(values) + _BEYOND) + 0.08
    right = WIDTH - RIGHT

    def at(value: float) -> float:
        inside = min(max(math.log(value) if value > 0 else first, first), last)
        return round(left + (inside - first) / (last - first) * (right - left), 2)

    lines = []
    for number, one in enumerate(ratios):
        low, high = one.interval
        lines.append(
            Line(
                one.label, TOP + STEP * (number + 0.5), at(one.value), at(low), at(high),
                [at(value) for value in one.pairs],
                f"{one.value:.2f} [{low:.2f}, {'>99' if high > 99 else f'{high:.2f}'}]",
                one.tone,
            )
        )  # fmt: skip
    marks = TICKS if last - first > math.log(4) else sorted((*TICKS, *NARROW))
    ticks = [(at(t), f"{t:g}") for t in marks if first <= math.log(t) <= last]
    floor = TOP + STEP * len(ratios)
    return Forest(
        title, better, WIDTH, floor + BOTTOM, left, right, floor, at(1.0), ticks, lines
    )  # fmt: skip
