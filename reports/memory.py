"""The page of a memory analysis, out of its JSON alone: bars of memory, lines of growth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_triton.criteria.shows import number

from .pages import environment

MIB = 1 << 20
_WORST = ("fail", "inconclusive", "pass")
WIDTH, LEFT, RIGHT, TOP, BAR, GAP, BOTTOM = 900.0, 210.0, 90.0, 8.0, 17.0, 14.0, 34.0
#: Pictures of growth stand side by side.
LINE_WIDTH, LINE_HEIGHT, LINE_LEFT, LINE_BOTTOM = 420.0, 210.0, 58.0, 40.0


@dataclass(slots=True)
class Bar:
    """One bar: what it is of, where it lies, and its value as text."""

    kind: str
    what: str
    y: float
    width: float
    told: str


@dataclass(slots=True)
class Group:
    """The bars of one load of a model; ``y`` is the middle of its label."""

    label: str
    y: float
    bars: list[Bar] = field(default_factory=list)


@dataclass(slots=True)
class Bars:
    """A picture of horizontal bars, MiB over what was held before."""

    title: str
    width: float
    height: float
    left: float
    floor: float
    ticks: list[tuple[float, str]]
    groups: list[Group]


@dataclass(slots=True)
class Line:
    """Readings over cycles or requests, relative to the first, and the line through them."""

    title: str
    verdict: str
    told: str
    axis: str
    width: float
    height: float
    left: float
    floor: float
    xticks: list[tuple[float, str]]
    yticks: list[tuple[float, str]]
    dots: list[tuple[float, float, bool]]
    #: x1, y1, x2, y2 of the fitted line, and of the limit.
    fitted: tuple[float, float, float, float]
    limit: tuple[float, float, float, float]


@dataclass(slots=True)
class Meter:
    """One place's memory; shares in percent."""

    place: str
    verdict: str
    used: float
    base: float
    allowed: float
    told: str


def page(made: Mapping[str, Any]) -> str:
    """One self-contained HTML page."""
    kinds = ["host", "GPU"] if made["device"] == "gpu" else ["host"]
    return (
        environment()
        .get_template("memory.html")
        .render(
            made=made,
            checks=sorted(made["checks"], key=lambda check: _WORST.index(check["verdict"])),
            mib=mib,
            pictures=[picture for kind in kinds if (picture := bars(made, kind))],
            lines=[
                line(model["name"], one) for model in made["models"] for one in model["growths"]
            ],
            meters=[meter(made, place) for place in made["headroom"]],
            loads=list(_loads(made)),
            kinds=kinds,
            over=over,
        )
    )


def mib(size: float | None) -> str:
    """Bytes as MiB; nothing where nothing was measured."""
    return "" if size is None else number(round(size / MIB, 2))


def over(reading: Mapping[str, Any] | None, loaded: Mapping[str, Any], kind: str) -> float | None:
    """Bytes over what was held before the load."""
    return None if reading is None else _held(reading, kind) - _held(loaded["before"], kind)


def _held(reading: Mapping[str, Any], kind: str) -> int:
    if kind == "GPU":
        return sum(reading["gpu"])
    return int(reading["server"] + reading["stubs"] + reading["shared"])


def _loads(made: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for model in made["models"]:
        for loaded in model["loads"]:
            count = loaded["instances"]
            yield f"{model['name']}, {count} instance{'s' * (count != 1)}", loaded
    if made["together"]:
        yield "all models together", made["together"]


def bars(made: Mapping[str, Any], kind: str) -> Bars | None:
    """Idle, the peak at each batch size, and after the unload; None where nothing was measured."""
    shown: list[tuple[str, list[tuple[str, str, float]]]] = []
    for label, loaded in _loads(made):
        rows = [("idle", "idle", over(loaded["idle"], loaded, kind) or 0.0)]
        for one in loaded["under_load"]:
            what = f"batch {one['batch']}" if one["batch"] else "under load"
            if loaded is made["together"]:
                what = f"{_short(one['model'])}, {what}"
            rows.append(("peak", what, over(one["peak"], loaded, kind) or 0.0))
        rows.append(("left", "after unload", over(loaded["unloaded"], loaded, kind) or 0.0))
        shown.append((label, rows))
    if not shown:
        return None
    most = max(max(value for _, _, value in rows) for _, rows in shown) / MIB
    ticks = _ticks(0.0, max(most, 1.0))
    room = (WIDTH - LEFT - RIGHT) / ticks[-1]
    groups, y = [], TOP
    for label, rows in shown:
        group = Group(label, round(y + 12, 1))
        y += BAR + 3
        for of, what, value in rows:
            wide = round(max(value / MIB, 0.0) * room, 1)
            group.bars.append(Bar(of, what, round(y, 1), wide, f"{mib(value)} MiB"))
            y += BAR
        groups.append(group)
        y += GAP
    places = [(round(LEFT + tick * room, 1), number(tick)) for tick in ticks]
    title = "GPU memory" if kind == "GPU" else "Host memory"
    return Bars(title, WIDTH, y + BOTTOM, LEFT, y, places, groups)


def _short(name: str, most: int = 18) -> str:
    """A name that fits beside the axis."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[1 - most // 2 :]}"


def line(model: str, growth: Mapping[str, Any]) -> Line:
    """The readings of one series in MiB over the first, with the slope and the limit."""
    x, first, look = growth["x"], growth["y"][0], growth["look"]
    y = [(value - first) / MIB for value in growth["y"]]
    trend, begin = look["trend"], look["begin"]
    start, end = x[begin], x[begin + trend["points"] - 1]

    def fitted(at: float) -> float:
        return float(trend["intercept"] + trend["slope"] * at - first) / MIB

    rise = growth["limit"] / MIB * (end - start)
    ends = [fitted(start), fitted(end), fitted(start) + rise]
    low, high = min([*y, *ends]), max([*y, *ends, 0.1])
    yticks = _ticks(low if -low > high / 50 else 0.0, high)  # no half of a picture below nothing
    xticks = [tick for tick in _ticks(0.0, x[-1]) if tick <= x[-1] * 1.05]
    across = (LINE_WIDTH - LINE_LEFT - 14) / max(x[-1], xticks[-1])
    floor = LINE_HEIGHT - LINE_BOTTOM
    up = (floor - 12) / (yticks[-1] - yticks[0])

    def place(at: float, value: float) -> tuple[float, float]:
        return round(LINE_LEFT + at * across, 1), round(floor - max(value - yticks[0], 0.0) * up, 1)

    dots = [(*place(at, value), begin <= n < begin + trend["points"])
            for n, (at, value) in enumerate(zip(x, y, strict=True))]  # fmt: skip
    bounds = (mib(trend[side]) or "?" for side in ("low", "high"))
    per = growth["per"]
    return Line(
        f"{model}: {growth['memory']} memory, per {per}", look["verdict"],
        f"{mib(trend['slope'])} MiB per {per} [{', '.join(bounds)}], limit {mib(growth['limit'])}",
        "cycles of load, inference and unload" if per == "cycle" else "thousand requests",
        LINE_WIDTH, LINE_HEIGHT, LINE_LEFT, floor,
        [(place(tick, 0)[0], number(tick)) for tick in xticks],
        [(place(0, tick)[1], number(tick)) for tick in yticks], dots,
        (*place(start, fitted(start)), *place(end, fitted(end))),
        (*place(start, fitted(start)), *place(end, fitted(start) + rise)),
    )  # fmt: skip


def meter(made: Mapping[str, Any], place: Mapping[str, Any]) -> Meter:
    """How much of a place was held at the peak, and how much may be."""
    total = place["total"]
    base = made["base"]
    held = 0 if base is None or place["place"] != "host" else _held(base, "host")
    return Meter(
        place["place"], place["verdict"], round(100 * min(place["peak"] / total, 1), 2),
        round(100 * held / total, 2), round(100 * (1 - place["minimum"]), 2),
        f"{mib(place['peak'])} of {mib(total)} MiB at the peak ({place['when']}): "
        f"{mib(place['left'])} MiB or {place['share']:.1%} are left, "
        f"{place['minimum']:.0%} have to be; the limit is that of {place['source']}",
    )  # fmt: skip


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from at most ``low`` to at least ``high``: three to seven."""
    rough = (high - low) / 4
    power: float = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 9) for n in range(first, max(last, first + 1) + 1)]
