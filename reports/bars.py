"""Pictures with bars: latencies of a run, executions for each batch size, parts of a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_triton.criteria.shows import number, quantity
from pytest_triton.series import Series

from .pictures import LEFT, RIGHT, WIDTH, Axis, Picture, linear, logarithmic, titled
from .text import clean

CEILING, FLOOR, HEIGHT = 90.0, 254.0, 308.0
#: Rows of percentile labels above the bars.
LABELS = (18.0, 38.0, 58.0)
#: Batch sizes up to which each has a place of its own.
PLACES = 40
HUES = 6


def distribution(picture: Picture, series: Series, entries: Sequence[Mapping[str, Any]]) -> None:
    """A histogram with every number that was read off the samples, and every budget of one."""
    values = sorted(series.y)
    marks = [entry for entry in entries if entry.get("value") is not None]
    budgets = [float(entry["budget"]) for entry in entries if entry.get("budget") is not None]
    shown = [*values, *(float(entry["value"]) for entry in marks)]
    near = [b for b in budgets if values[0] / 3 <= b <= values[-1] * 3]
    wide = [*shown, *near]
    start, end = LEFT, WIDTH - RIGHT
    log = min(wide) > 0 and max(wide) >= 2 * min(wide)
    x = logarithmic(wide, start, end) if log else linear(wide, start, end)
    edges, counts = _bins(values, x)
    y = linear([*counts, 0.0], FLOOR, CEILING, zero=True)
    picture.up(y, start, end, "answers")
    picture.down(
        x, CEILING, FLOOR, f"{titled('latency', picture.unit)}{', logarithmic' if log else ''}"
    )
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        left, right = x.at(low), x.at(high)
        if count:
            picture.add(
                "rect", "tr-bar", x=left, width=max(right - left - 0.6, 0.6), y=y.at(count),
                height=round(FLOOR - y.at(count), 3), data_from=low, data_to=high, data_y=count,
                title=f"{count} from {quantity(low, picture.unit)} to {quantity(high, picture.unit)}",
            )  # fmt: skip
    for row, entry in enumerate(marks):
        value = float(entry["value"])
        picture.add(
            "line", "tr-value", x1=x.at(value), x2=x.at(value), y2=FLOOR,
            y1=LABELS[row % len(LABELS)] - 12, data_value=value, data_name=clean(entry["name"], 60),
        )  # fmt: skip
    for row, entry in enumerate(marks):  # no line goes through a label
        place, height = x.at(float(entry["value"])), LABELS[row % len(LABELS)]
        anchor = "end" if place > end - 120 else "start"
        told = f"{clean(entry['name'], 40)} {quantity(float(entry['value']), picture.unit)}"
        place += 6 if anchor == "start" else -6
        picture.label(place, height, told, anchor, "tr-value-label")
    for budget in budgets:
        _budget(picture, budget, x)
    picture.height = HEIGHT
    picture.description = f"distribution of {len(values)} latencies"


def _bins(values: Sequence[float], x: Axis) -> tuple[list[float], list[int]]:
    """Edges, even on the axis, and how many values lie between them."""
    count = max(12, min(60, round(2 * len(values) ** (1 / 3)) * 2))
    if x.log:
        step = (x.high / x.low) ** (1 / count)
        edges = [x.low * step**i for i in range(count + 1)]
    else:
        edges = [x.low + (x.high - x.low) * i / count for i in range(count + 1)]
    edges[-1] = x.high
    counts, at = [0] * count, 0
    for value in values:
        while at < count - 1 and value >= edges[at + 1]:
            at += 1
        counts[at] += 1
    return edges, counts


def _budget(picture: Picture, budget: float, x: Axis) -> None:
    label = f"budget {quantity(budget, picture.unit)}"
    place = x.at(budget)
    anchor = "end" if place > x.end - 120 else "start"
    if x.low <= budget <= x.high:
        picture.add(
            "line", "tr-budget", x1=place, x2=place, y1=LABELS[-1] + 6, y2=FLOOR, data_budget=budget
        )
        label_at = place + (6 if anchor == "start" else -6)
    else:
        label, label_at = (f"{label} →", place) if budget > x.high else (f"← {label}", place)
    picture.label(label_at, LABELS[-1] + 19, label, anchor, "tr-budget-label")


def batches(picture: Picture, series: Series, entry: Mapping[str, Any]) -> None:
    """Executions for each executed batch size, with the mean batch and what it has to reach."""
    sizes, counts = series.x, series.y
    start, end, ceiling = LEFT, WIDTH - RIGHT, 64.0
    top, bottom = max(sizes), min(sizes)
    held = [float(one) for one in (entry.get("value"), entry.get("budget")) if one is not None]
    x = Axis(min(bottom, *held, 1.0) - 0.7, max(top, *held) + 0.7, start, end)
    y = linear([*counts, 0.0], FLOOR, ceiling, zero=True)
    picture.up(y, start, end, clean(series.y_name, 60) or "executions")
    every = sizes if len(sizes) <= PLACES else ()
    picture.down(x, FLOOR, FLOOR, titled(clean(series.x_name, 60), clean(series.x_unit, 40)), every)
    wide = max(1.0, min(34.0, 0.8 * (end - start) / max(x.high - x.low, 1)))
    for size, count in zip(sizes, counts, strict=True):
        place = x.at(size)
        picture.add(
            "rect", "tr-bar", x=round(place - wide / 2, 3), width=wide, y=y.at(count),
            height=round(FLOOR - y.at(count), 3), data_x=size, data_y=count,
            title=f"{number(count)} executions of {number(size)}",
        )  # fmt: skip
    if entry.get("value") is not None:
        _upright(
            picture,
            float(entry["value"]),
            x,
            ceiling - 28,
            f"mean {number(float(entry['value']))}",
            "value",
        )
    if entry.get("budget") is not None:
        _upright(
            picture,
            float(entry["budget"]),
            x,
            ceiling - 28,
            f"at least {number(float(entry['budget']))}",
            "budget",
        )
    if wide >= 18:  # on top of the lines
        for size, count in zip(sizes, counts, strict=True):
            picture.label(x.at(size), y.at(count) - 5, number(count), css="tr-tick tr-halo")
    picture.height = FLOOR + 54
    picture.description = f"{number(sum(counts))} executions of {len(sizes)} batch sizes"


def _upright(picture: Picture, value: float, x: Axis, top: float, label: str, kind: str) -> None:
    place = x.at(value)
    anchor = "end" if place > x.end - 110 else "start"
    named: dict[str, str | float] = {f"data_{kind}": value}
    picture.add("line", f"tr-{kind}", "", "", x1=place, x2=place, y1=top - 12, y2=FLOOR, **named)
    picture.label(place + (6 if anchor == "start" else -6), top, label, anchor, f"tr-{kind}-label")


def stages(picture: Picture, series: Series, entry: Mapping[str, Any]) -> None:
    """A bar for each row, its parts side by side in their order."""
    labels = [clean(label, 60) for label in series.labels]
    rows = [(clean(series.y_name, 40), series.y)]
    rows += [(clean(row.name, 40), row.y) for row in series.more]
    named = any(name for name, _ in rows)
    left = 128.0 if named else 22.0
    budget = entry.get("budget")
    totals = [sum(max(part, 0.0) for part in row) for _, row in rows]
    near = (
        [float(budget)] if budget is not None and float(budget) <= 3 * max(*totals, 1e-12) else []
    )
    axis = linear([0.0, *totals, *near], left, WIDTH - RIGHT, zero=True)
    top, tall, pitch = 26.0, 34.0, 50.0
    floor = top + pitch * len(rows)
    picture.down(axis, top - 8, floor, titled("time of a request", picture.unit))
    for place, (name, row) in enumerate(rows):
        begin, y = 0.0, top + pitch * place
        if named:
            picture.label(left - 10, y + tall / 2 + 5, name, "end")
        for hue, (label, part) in enumerate(zip(labels, row, strict=True)):
            part = max(part, 0.0)
            first, last = axis.at(begin), axis.at(begin + part)
            share = f"{part / totals[place]:.0%}" if totals[place] else ""
            picture.add(
                "rect", f"tr-fill{hue % HUES}", x=first, width=round(last - first, 3), y=y,
                height=tall, data_name=label, data_y=part, data_row=name,
                title=f"{label}: {quantity(part, picture.unit)}, {share}",
            )  # fmt: skip
            if last - first > 44:
                picture.label((first + last) / 2, y + tall / 2 + 5, share, css="tr-inside")
            begin += part
    if near:
        limit = axis.at(near[0])
        picture.add("line", "tr-budget", x1=limit, x2=limit, y1=12, y2=floor, data_budget=near[0])
        picture.label(
            limit - 6, 14, f"budget {quantity(near[0], picture.unit)}", "end", "tr-budget-label"
        )
    for hue, label in enumerate(labels):
        told = quantity(max(series.y[hue], 0.0), picture.unit)
        picture.legend.append(
            (f"tr-fill{hue % HUES}", f"{label} {told}" if len(rows) == 1 else label)
        )
    picture.height = floor + 54
    picture.description = "where the time of a request goes: " + ", ".join(labels)
