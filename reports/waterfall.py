"""A picture of spans of time: one bar below the other, where each begins and how long it lasts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_triton.criteria.shows import quantity
from pytest_triton.series import PARTS, Series

from .pictures import RIGHT, WIDTH, Picture, linear, titled
from .text import clean

#: Room for the names, height of a bar, and from one bar to the next.
LEFT, TALL, PITCH, TOP = 128.0, 14.0, 22.0, 16.0
#: Rows that are drawn; more would be no picture.
MOST = 60
#: The least width at which a bar can be seen.
SEEN = 1.5
#: What begins with this is a part of the row above, and has a colour of its own.
PART = "·"
#: The colour of a whole span: that of what is in no stage.
_WHOLE = PARTS.index("front end")


def waterfall(picture: Picture, series: Series, entry: Mapping[str, Any]) -> None:
    """A bar for each row, on one axis of time."""
    begins = series.more[0].y
    rows = list(zip(series.labels, begins, series.y, strict=True))[:MOST]
    if left_out := len(series.y) - len(rows):
        picture.beyond = f"{left_out} more spans are not shown"
    ends = [begin + max(lasts, 0.0) for _, begin, lasts in rows]
    axis = linear([*begins[:MOST], *ends], LEFT, WIDTH - RIGHT, zero=True)
    floor = TOP + PITCH * len(rows)
    picture.down(axis, TOP - 8, floor, titled("time", picture.unit))
    for at, ((label, begin, lasts), end) in enumerate(zip(rows, ends, strict=True)):
        name, y = clean(label, 40), TOP + PITCH * at
        first, last = axis.at(begin), axis.at(end)
        told = quantity(lasts, picture.unit)
        picture.label(LEFT - 10, y + TALL - 2, name[:18], "end")
        picture.add(
            "rect", f"tr-fill{_hue(name)}", x=min(first, axis.end - SEEN), y=y, height=TALL,
            width=max(round(last - first, 3), SEEN), data_name=name, data_x=begin, data_y=lasts,
            title=f"{name}: {told} from {quantity(begin, picture.unit)} on",
        )  # fmt: skip
        _told(picture, told, first, last, y + TALL - 2)
    picture.height = floor + 54
    picture.description = "what lasts how long: " + ", ".join(clean(row[0], 40) for row in rows)


def _hue(name: str) -> int:
    """Its colour: parts have those that they have in a chart of stages."""
    part = name.removeprefix(PART).strip()
    return PARTS.index(part) if name.startswith(PART) and part in PARTS else _WHOLE


def _told(picture: Picture, told: str, first: float, last: float, y: float) -> None:
    """How long a bar lasts: behind it, in front of it, or in it."""
    room = 8.0 * len(told) + 10
    if last + room <= WIDTH - RIGHT:
        picture.label(last + 6, y, told, "start", "tr-tick tr-halo")
    elif first - room >= LEFT:
        picture.label(first - 6, y, told, "end", "tr-tick tr-halo")
    else:
        picture.label((first + last) / 2, y, told, css="tr-inside")
