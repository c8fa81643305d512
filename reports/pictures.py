"""What every picture of a series is made of: axes that can be read backwards, and marks.

A mark of data carries the value it stands for (``data-x``, ``data-y``), an axis the range that it
covers (``data-low`` and so on), so that a program reads the numbers off the SVG again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_triton.criteria.shows import number

WIDTH = 560.0
LEFT, RIGHT = 58.0, 22.0
#: Room for one line of text.
LINE = 18.0


@dataclass(frozen=True, slots=True)
class Axis:
    """``low`` … ``high`` in the data's unit at ``start`` … ``end`` in the picture."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Where a value lies; what is beyond the axis lies at its end."""
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 3)

    def ticks(self, most: int = 7) -> list[float]:
        """Round values, in order."""
        if not self.log:
            step = _step((self.high - self.low) / most)
            first = math.ceil(self.low / step - 1e-9)
            count = math.floor(self.high / step + 1e-9) - first + 1
            return [float(f"{(first + i) * step:.12g}") for i in range(count)]
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for digits in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            found = [digit * 10.0**power for power in powers for digit in digits]
            found = [value for value in found if self.low <= value <= self.high]
            if len(found) <= most + 1:
                break
        return found


def _step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * (1 - 1e-9))


def linear(values: Sequence[float], start: float, end: float, *, zero: bool = False) -> Axis:
    """An axis with round ends around the values, from zero on if ``zero``."""
    low, high = min(values), max(values)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    span = (high - low) or abs(high) * 0.2 or 1.0
    if high == low:
        low, high = low - span / 2, high + span / 2
    step = _step(span / 5)
    return Axis(
        math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, start, end
    )


def logarithmic(values: Sequence[float], start: float, end: float) -> Axis:
    """A logarithmic axis a little wider than the values, all of them above zero."""
    low, high = min(values), max(values)
    room = max(0.03, 0.03 * math.log(high / low))
    return Axis(low * math.exp(-room), high * math.exp(room), start, end, log=True)


@dataclass(slots=True)
class Mark:
    """One element of the picture: its tag, attributes, words beside or inside it."""

    tag: str
    css: str
    attributes: dict[str, str | float]
    text: str = ""
    title: str = ""


@dataclass(slots=True)
class Picture:
    """A picture of one series. ``empty`` says why nothing is drawn."""

    name: str
    unit: str
    n: int = 0
    caption: list[str] = field(default_factory=list)
    description: str = ""
    empty: str = ""
    beyond: str = ""
    width: float = WIDTH
    height: float = 0.0
    marks: list[Mark] = field(default_factory=list)
    #: (style of its colour, what it is)
    legend: list[tuple[str, str]] = field(default_factory=list)

    def add(
        self, tag: str, css: str, text: str = "", title: str = "", **attributes: str | float
    ) -> None:
        """Append an element; ``_`` in the name of an attribute stands for ``-``."""
        named = {key.replace("_", "-"): value for key, value in attributes.items()}
        self.marks.append(Mark(tag, css, named, text, title))

    def label(
        self, x: float, y: float, text: str, anchor: str = "middle", css: str = "tr-tick"
    ) -> None:
        self.add("text", css, text, x=x, y=y, text_anchor=anchor)

    def down(
        self, axis: Axis, top: float, floor: float, name: str, ticks: Sequence[float] = ()
    ) -> None:
        """The horizontal axis below a panel, with its grid and its name."""
        self._axis("x", axis)
        last = -math.inf
        for tick in ticks or axis.ticks():
            x = axis.at(tick)
            self.add("line", "tr-grid", x1=x, x2=x, y1=top, y2=floor + 4)
            if x - last >= 34:  # labels do not touch
                self.label(x, floor + 20, number(tick))
                last = x
        self.add("line", "tr-axis", x1=axis.start, x2=axis.end, y1=floor, y2=floor)
        self.label((axis.start + axis.end) / 2, floor + 42, name)

    def up(self, axis: Axis, left: float, right: float, name: str) -> None:
        """The vertical axis of a panel, with its grid and its name above it."""
        self._axis("y", axis)
        for tick in axis.ticks(5):
            y = axis.at(tick)
            self.add("line", "tr-grid", x1=left, x2=right, y1=y, y2=y)
            self.label(left - 8, y + 4, number(tick), "end")
        self.label(left - 50, axis.end - 12, name, "start")

    def _axis(self, which: str, axis: Axis) -> None:
        self.add(
            "g", "tr-scale", data_axis=which, data_low=repr(axis.low), data_high=repr(axis.high),
            data_start=axis.start, data_end=axis.end, data_scale="log" if axis.log else "linear",
        )  # fmt: skip


def titled(name: str, unit: str) -> str:
    """The name of an axis with its unit."""
    return f"{name} ({unit})" if name and unit not in ("", "1") else name or unit or "value"
