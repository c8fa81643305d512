"""Charts of a measurement, out of its samples alone: geometry here, SVG in the template.

Lengths are units of the view box (about CSS pixels); nothing is drawn that they do not
hold, and what lies beyond the axis is counted at its edge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_triton.criteria.shows import measured, number, quantity
from pytest_triton.series import NoSamples, Series, read

from . import bars, grids, lines, waterfall
from .pictures import Picture
from .text import clean

WIDTH, HEIGHT = 560.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 24.0, 78.0, 60.0
#: Up to so many samples each is a dot; above, a histogram.
DOTS = 60


@dataclass(slots=True)
class Mark:
    """A vertical line with a label; ``anchor`` keeps the label inside the picture."""

    x: float
    label: str
    anchor: str
    beyond: bool = False


@dataclass(slots=True)
class Chart:
    """One picture. ``empty`` says why there is nothing to draw."""

    name: str
    unit: str
    caption: list[str]
    n: int = 0
    empty: str = ""
    ticks: list[tuple[float, str]] = field(default_factory=list)
    bars: list[tuple[float, float, float, float]] = field(default_factory=list)
    dots: list[tuple[float, float, float]] = field(default_factory=list)
    box: tuple[float, float, float, float, float] | None = None
    interval: tuple[float, float] | None = None
    value: Mark | None = None
    budget: Mark | None = None
    beyond: str = ""
    top: str = ""
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    ceiling: float = TOP
    floor: float = HEIGHT - BOTTOM


def draw(
    measurement: Mapping[str, Any],
    directory: Path,
    evidence: Sequence[Mapping[str, Any]],
    others: Sequence[Mapping[str, Any]] = (),
) -> Chart | Picture:
    """The picture of a measurement that has samples; ``others`` are of the same samples."""
    unit, name = clean(measurement["unit"], 40), clean(measurement["name"], 200)
    try:
        series = read(measurement["samples"], directory, evidence)
    except NoSamples as error:
        return Chart(name, unit, [], empty=str(error))
    if series.kind == "distribution" and not measurement.get("statistic"):
        return _samples(Chart(name, unit, []), series, measurement)
    return _picture(Picture(name, unit), series, [measurement, *others])


def _picture(picture: Picture, series: Series, entries: Sequence[Mapping[str, Any]]) -> Picture:
    picture.n = len(series.y)
    if series.kind == "distribution":
        names = [clean(entry["name"], 200) for entry in entries]
        picture.name = names[0] if len(names) == 1 else f"latency: {', '.join(names)}"
    needs_x = series.kind in ("curve", "times", "moments", "batches")
    if (
        not series.y
        or (needs_x and not series.x)
        or (series.kind in ("stages", "matrix", "waterfall") and not series.labels)
        or (series.kind == "waterfall" and not series.more)
    ):
        picture.caption, picture.empty = ["n = 0"], "no data"
        return picture
    picture.caption = [_said(entry) for entry in entries] + [_counted(series)]
    if series.lost:
        picture.caption.append(f"{series.lost} samples are no numbers")
    try:
        if series.kind == "distribution":
            bars.distribution(picture, series, entries)
        else:
            drawn = {
                "curve": lines.curve, "times": lines.times, "moments": lines.moments,
                "pairs": lines.pairs, "batches": bars.batches, "stages": bars.stages,
                "matrix": grids.matrix, "waterfall": waterfall.waterfall,
            }[series.kind]  # fmt: skip
            drawn(picture, series, entries[0])
    except (ValueError, OverflowError, ZeroDivisionError, StopIteration):
        picture.marks.clear()
        picture.legend.clear()
        picture.empty = "the samples do not fit on one axis"
    return picture


def _counted(series: Series) -> str:
    """How many of what the picture is made of."""
    count = sum(series.y) if series.kind == "batches" else len(series.y)
    of = {
        "pairs": "pairs", "curve": "points", "times": "windows", "moments": "points",
        "batches": "executions", "stages": "parts", "matrix": "columns",
        "waterfall": "spans",
    }  # fmt: skip
    return f"n = {quantity(count, of.get(series.kind, ''))}"


def _said(entry: Mapping[str, Any]) -> str:
    """The number in words."""
    unit = clean(entry["unit"], 40)
    said = f"{clean(entry['name'], 60)} {measured({**entry, 'unit': unit})}"
    if entry.get("interval"):
        said += " (95 % interval)"
    if entry.get("budget") is not None:
        said += f", budget {quantity(float(entry['budget']), unit)}"
    return said


def _samples(chart: Chart, series: Series, measurement: Mapping[str, Any]) -> Chart:
    samples, unit = list(series.y), chart.unit
    chart.n = len(samples)
    said = measured({**measurement, "unit": unit})
    chart.caption.append(f"{said} (95 % interval)" if measurement.get("interval") else said)
    chart.caption.append(f"n = {number(len(samples))}")
    if series.lost:
        chart.caption.append(f"{series.lost} samples are no numbers")
    if not samples:
        # A value without samples has nothing behind it.
        chart.caption = ["n = 0"]
        chart.empty = "no data"
        return chart
    samples.sort()
    if len(samples) >= 20:
        chart.caption.append(
            f"median {quantity(quantile(samples, 0.5), unit)}, "
            f"p95 {quantity(quantile(samples, 0.95), unit)}, "
            f"p99 {quantity(quantile(samples, 0.99), unit)}"
            if len(samples) >= 100
            else f"median {quantity(quantile(samples, 0.5), unit)}"
        )
    try:
        _fill(chart, samples, measurement)
    except (ValueError, OverflowError, ZeroDivisionError):
        chart.empty = "the samples do not fit on one axis"
    return chart


def quantile(ordered: Sequence[float], q: float) -> float:
    """Linear between the order statistics, as numpy does."""
    position = q * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def _fill(chart: Chart, ordered: list[float], measurement: Mapping[str, Any]) -> None:
    value, budget = measurement.get("value"), measurement.get("budget")
    interval = measurement.get("interval")
    low, high = _range(ordered, value, interval, budget)
    step = _step(high - low)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step

    def at(number_: float) -> float:
        share = (min(max(number_, low), high) - low) / (high - low)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 2)

    count = round((high - low) / step)
    ticks = [low + i * step for i in range(count + 1)]
    chart.ticks = [(at(tick), number(float(f"{tick:.12g}"))) for tick in ticks]
    shown = [sample for sample in ordered if low <= sample <= high]
    if outside := len(ordered) - len(shown):
        chart.beyond = f"{outside} beyond the axis, up to {quantity(ordered[-1], chart.unit)}"
    if len(ordered) <= DOTS:
        chart.dots = _dots([(at(sample), sample) for sample in shown], chart)
    else:
        _histogram(chart, shown, low, high)
    if len(ordered) >= 5:
        chart.box = (
            at(ordered[0]), at(quantile(ordered, 0.25)), at(quantile(ordered, 0.5)),
            at(quantile(ordered, 0.75)), at(ordered[-1]),
        )  # fmt: skip
    if interval:
        chart.interval = (at(float(interval[0])), at(float(interval[1])))
    if value is not None:
        chart.value = _mark(at, float(value), low, high, quantity(float(value), chart.unit))
    if budget is not None:
        label = f"budget {quantity(float(budget), chart.unit)}"
        chart.budget = _mark(at, float(budget), low, high, label)


def _mark(at: Any, value: float, low: float, high: float, label: str) -> Mark:
    x = at(value)
    if value < low:
        return Mark(x, f"← {label}", "start", True)
    if value > high:
        return Mark(x, f"{label} →", "end", True)
    anchor = "start" if x < LEFT + 90 else "end" if x > WIDTH - RIGHT - 90 else "middle"
    return Mark(x, label, anchor)


def _range(ordered: Sequence[float], value: Any, interval: Any, budget: Any) -> tuple[float, float]:
    """What the axis covers: the samples but for a far tail, the value, and a near budget."""
    low, high = ordered[0], ordered[-1]
    body = quantile(ordered, 0.99)
    if len(ordered) > DOTS and high - low > 3 * (body - low) > 0:
        high = low + 1.25 * (body - low)
    wanted = [float(item) for item in (value, *(interval or ())) if item is not None]
    low, high = min([low, *wanted]), max([high, *wanted])
    span = (high - low) or abs(high) * 0.2 or 1.0
    if budget is not None and low - 1.5 * span <= float(budget) <= high + 1.5 * span:
        low, high = min(low, float(budget)), max(high, float(budget))
    if high == low:
        low, high = low - span / 2, high + span / 2
    return low, high


def _step(span: float) -> float:
    """1, 2 or 5 times a power of ten: four to nine ticks."""
    rough = span / 6
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough)


def _dots(places: Sequence[tuple[float, float]], chart: Chart) -> list[tuple[float, float, float]]:
    """Dots at their places, with their samples; those that would cover each other are stacked."""
    column: dict[int, int] = {}
    room = chart.floor - chart.ceiling - 8
    for x, _ in places:
        column[round(x / 9)] = column.get(round(x / 9), 0) + 1
    pitch = min(9.0, room / max(column.values(), default=1))
    height: dict[int, int] = {}
    dots = []
    for x, sample in places:
        level = height.get(round(x / 9), 0)
        height[round(x / 9)] = level + 1
        dots.append((x, round(chart.floor - 6 - level * pitch, 2), sample))
    return dots


def _histogram(chart: Chart, shown: Sequence[float], low: float, high: float) -> None:
    spread = quantile(shown, 0.75) - quantile(shown, 0.25)
    width = 2 * spread / len(shown) ** (1 / 3) or (high - low) / 20
    bins = max(8, min(56, math.ceil((high - low) / width)))
    counts = [0] * bins
    for sample in shown:
        counts[min(bins - 1, int((sample - low) / (high - low) * bins))] += 1
    most = max(counts)
    pitch, room = (WIDTH - LEFT - RIGHT) / bins, chart.floor - chart.ceiling - 4
    chart.top = number(most)
    chart.bars = [
        (
            round(LEFT + i * pitch + 0.5, 2),
            round(chart.floor - count / most * room, 2),
            round(max(pitch - 1, 0.5), 2),
            round(count / most * room, 2),
        )
        for i, count in enumerate(counts)
        if count
    ]
