"""Charts of a measurement, out of its samples' file alone: geometry here, SVG in the template.

Lengths are units of the view box (about CSS pixels); nothing is drawn that the file does not
hold, and what lies beyond the axis is counted at its edge.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pytest_triton.criteria.shows import measured, number, quantity

from .text import clean

WIDTH, HEIGHT = 560.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 24.0, 78.0, 60.0
#: Up to so many samples each is a dot; above, a histogram.
DOTS = 60
#: Bytes of a samples' file that are read.
MAX_BYTES = 64 << 20


class NoSamples(Exception):
    """The samples' file cannot be drawn; the text says why."""


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
    dots: list[tuple[float, float]] = field(default_factory=list)
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


def inside(directory: Path, path: str) -> Path:
    """A file below the report's directory; NoSamples for a path that leads out of it."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\0" in path:
        raise NoSamples("the path of the samples leads out of the report")
    root = directory.resolve()
    try:
        target = (root / pure).resolve()
    except (OSError, RuntimeError) as error:
        raise NoSamples(f"the samples cannot be read: {error}") from None
    if root not in target.parents:
        raise NoSamples("the path of the samples leads out of the report")
    return target


def read_samples(
    directory: Path, path: str, evidence: Sequence[Mapping[str, Any]]
) -> tuple[list[float], int]:
    """Finite samples and how many were not; NoSamples when the file is not what was kept."""
    target = inside(directory, path)
    try:
        if target.stat().st_size > MAX_BYTES:
            raise NoSamples(f"the samples' file has more than {MAX_BYTES >> 20} MiB")
        data = target.read_bytes()
    except OSError as error:
        raise NoSamples(f"the samples cannot be read: {error.strerror}") from None
    known = {entry["sha256"] for entry in evidence if entry["path"] == path}
    if known and hashlib.sha256(data).hexdigest() not in known:
        raise NoSamples("the samples' file is not the one that the report was made of")
    try:
        samples = json.loads(data)
        if not isinstance(samples, list) or any(
            isinstance(item, bool) or not isinstance(item, (int, float)) for item in samples
        ):
            raise NoSamples("the samples' file is no list of numbers")
        values = [float(item) for item in samples]
    except (ValueError, RecursionError, OverflowError):
        raise NoSamples("the samples' file is no list of numbers") from None
    finite = [value for value in values if math.isfinite(value)]
    return finite, len(values) - len(finite)


def draw(
    measurement: Mapping[str, Any], directory: Path, evidence: Sequence[Mapping[str, Any]]
) -> Chart:
    """The chart of a measurement that has samples."""
    unit = clean(measurement["unit"], 40)
    chart = Chart(clean(measurement["name"], 200), unit, [])
    try:
        samples, lost = read_samples(directory, str(measurement["samples"]), evidence)
    except NoSamples as error:
        chart.empty = str(error)
        return chart
    chart.n = len(samples)
    said = measured({**measurement, "unit": unit})
    chart.caption.append(f"{said} (95 % interval)" if measurement.get("interval") else said)
    chart.caption.append(f"n = {number(len(samples))}")
    if lost:
        chart.caption.append(f"{lost} samples are no numbers")
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
        chart.dots = _dots([at(sample) for sample in shown], chart)
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


def _dots(places: Sequence[float], chart: Chart) -> list[tuple[float, float]]:
    """Dots that would cover each other are stacked."""
    column: dict[int, int] = {}
    room = chart.floor - chart.ceiling - 8
    for x in places:
        column[round(x / 9)] = column.get(round(x / 9), 0) + 1
    pitch = min(9.0, room / max(column.values(), default=1))
    height: dict[int, int] = {}
    dots = []
    for x in places:
        level = height.get(round(x / 9), 0)
        height[round(x / 9)] = level + 1
        dots.append((x, round(chart.floor - 6 - level * pitch, 2)))
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
