"""Pictures with points: a number against another, percentiles over time, ratios of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_triton.criteria.shows import quantity
from pytest_triton.series import Series

from .pictures import LEFT, RIGHT, WIDTH, Axis, Picture, linear, titled
from .text import clean

PANEL, ABOVE, BELOW = 150.0, 40.0, 52.0
#: Points up to which each has its own tick.
TICKS = 12
HUES = 5
#: Radius of a point: one to be looked at, one of many on a line.
LARGE, SMALL = 3.4, 1.6


def curve(picture: Picture, series: Series, entry: Mapping[str, Any]) -> None:
    """One panel for each unit, one below the other, over the same ``x``."""
    panels: dict[str, list[tuple[str, Sequence[float]]]] = {
        picture.unit: [(clean(series.y_name, 60) or picture.name, series.y)]
    }
    for more in series.more:
        panels.setdefault(clean(more.unit, 40), []).append((clean(more.name, 60), more.y))
    x = _across(series)
    name = titled(clean(series.x_name, 60) or "x", clean(series.x_unit, 40))
    top, hue = 0.0, 0
    for place, (unit, rows) in enumerate(panels.items()):
        budget = entry.get("budget") if place == 0 else None
        ceiling, floor = top + ABOVE, top + ABOVE + PANEL
        values = [value for _, row in rows for value in row]
        axis = linear([*values, *_near(budget, values)], floor, ceiling, zero=True)
        picture.up(axis, x.start, x.end, titled(rows[0][0] if len(rows) == 1 else "", unit))
        ticks = sorted(set(series.x)) if len(series.x) <= TICKS else ()
        picture.down(x, ceiling, floor, name if place == len(panels) - 1 else "", ticks)
        for label, row in rows:
            radius = SMALL if series.kind == "moments" else LARGE
            _line(picture, series.x, row, x, axis, label, unit, hue % HUES, radius)
            if len(panels) + len(rows) > 2:
                picture.legend.append((f"tr-series{hue % HUES}", titled(label, unit)))
            hue += 1
        _budget(picture, budget, unit, x, axis)
        top = floor + 22
    picture.height = top - 22 + BELOW
    picture.description = f"{picture.name} at {len(series.x)} values of {name}"


def times(picture: Picture, series: Series, entry: Mapping[str, Any]) -> None:
    """Percentiles of consecutive windows; each point stands at the end of its window."""
    curve(picture, series, entry)
    picture.description = f"percentiles of {len(series.y)} consecutive windows"


def moments(picture: Picture, series: Series, entry: Mapping[str, Any]) -> None:
    """Values at moments, close enough to be read as lines."""
    curve(picture, series, entry)
    picture.description = f"values at {len(series.y)} moments"


def pairs(picture: Picture, series: Series, entry: Mapping[str, Any]) -> None:
    """A dot for each pair, the value with its interval as a band, the budget, and where both
    sides are equal."""
    ceiling, floor = ABOVE, ABOVE + PANEL + 20
    turns = series.x or tuple(float(turn) for turn in range(1, len(series.y) + 1))
    budget, interval, value = entry.get("budget"), entry.get("interval"), entry.get("value")
    equal = [1.0] if picture.unit == "×" else []
    held = [float(one) for one in (*(interval or ()), value, budget) if one is not None]
    axis = linear([*series.y, *equal, *held], floor, ceiling)
    x = Axis(min(turns) - 0.5, max(turns) + 0.5, LEFT, WIDTH - RIGHT)
    picture.up(axis, x.start, x.end, titled("ratio of each pair", picture.unit))
    name = clean(series.x_name, 60) or "pair"
    picture.down(x, floor, floor, f"{name}, in order of time", turns if len(turns) <= 24 else ())
    if interval:
        ends = [axis.at(float(end)) for end in interval]
        picture.add(
            "rect", "tr-interval", x=x.start, width=x.end - x.start, y=min(ends),
            height=max(abs(ends[0] - ends[1]), 1.5), data_low=float(interval[0]),
            data_high=float(interval[1]), title=f"95 % interval of {picture.name}",
        )  # fmt: skip
        picture.legend.append(("tr-seriesband", "95 % interval"))
    if equal:
        y = axis.at(1.0)
        picture.add("line", "tr-axis", x1=x.start, x2=x.end, y1=y, y2=y, title="equal")
    if value is not None:
        y = axis.at(float(value))
        picture.add("line", "tr-value", x1=x.start, x2=x.end, y1=y, y2=y, data_value=float(value))
        picture.label(x.end, y - 6, quantity(float(value), picture.unit), "end", "tr-value-label")
    _budget(picture, budget, picture.unit, x, axis)
    for turn, ratio in zip(turns, series.y, strict=True):
        picture.add(
            "circle", "tr-dot", cx=x.at(turn), cy=axis.at(ratio), r=4, data_x=turn, data_y=ratio,
            title=f"{name} {turn:g}: {quantity(ratio, picture.unit)}",
        )  # fmt: skip
    picture.height = floor + BELOW
    picture.description = f"the ratio of each of {len(turns)} interleaved pairs"


def _across(series: Series) -> Axis:
    """The horizontal axis; concurrencies that double lie evenly."""
    start, end = LEFT, WIDTH - RIGHT
    low, high = min(series.x), max(series.x)
    gaps = len(series.x) > 2 and series.kind == "curve" and low > 0 and high / low >= 8
    if gaps:
        return Axis(low / 1.15, high * 1.15, start, end, log=True)
    if low == high:
        return Axis(low - 1, high + 1, start, end)
    if series.kind in ("times", "moments"):
        return Axis(min(0.0, low), high, start, end)
    room = 0.04 * (high - low)
    return Axis(low - room, high + room, start, end)


def _near(budget: Any, values: Sequence[float]) -> list[float]:
    """The budget, where the axis can hold it without pressing the values together."""
    if budget is None or not values:
        return []
    return [float(budget)] if 0 <= float(budget) <= 3 * max(*values, 1e-12, 0.0) else []


def _line(
    picture: Picture,
    places: Sequence[float],
    row: Sequence[float],
    x: Axis,
    y: Axis,
    label: str,
    unit: str,
    hue: int,
    radius: float,
) -> None:
    ordered = sorted(zip(places, row, strict=True))
    path = " ".join(f"{x.at(place)},{y.at(value)}" for place, value in ordered)
    picture.add("polyline", f"tr-line tr-series{hue}", points=path)
    for place, value in ordered:
        picture.add(
            "circle", f"tr-point tr-series{hue}", cx=x.at(place), cy=y.at(value), r=radius,
            data_x=place, data_y=value, data_name=label,
            title=f"{label} at {place:g}: {quantity(value, unit)}",
        )  # fmt: skip


def _budget(picture: Picture, budget: Any, unit: str, x: Axis, y: Axis) -> None:
    if budget is None:
        return
    label = f"budget {quantity(float(budget), unit)}"
    beyond = float(budget) > y.high or float(budget) < y.low
    place = y.at(float(budget))
    if not beyond:
        picture.add(
            "line", "tr-budget", x1=x.start, x2=x.end, y1=place, y2=place, data_budget=float(budget)
        )
    arrow = ("↑ " if float(budget) > y.high else "↓ ") if beyond else ""
    picture.label(
        x.start + 6, place + (14 if beyond else -6), arrow + label, "start", "tr-budget-label"
    )
