"""A grid of words: what each row does in each column, right or wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_triton.series import GRID, Series

from .pictures import WIDTH, Picture
from .text import clean

#: Height of a row, of the slanted names above, and the least width of the names at the left.
ROW, HEAD, NAMES = 26.0, 96.0, 90.0
#: Units of the view box that a letter of a name takes.
LETTER = 7.6
_MOST = 40


def matrix(picture: Picture, series: Series, entry: Mapping[str, Any]) -> None:
    """A row for each line, a cell for each column; ``y`` are places in :data:`GRID`."""
    rows = [(clean(series.y_name, _MOST), series.y)]
    rows += [(clean(row.name, _MOST), row.y) for row in series.more]
    left = min(max(NAMES, 14 + LETTER * max(len(name) for name, _ in rows)), WIDTH / 2)
    wide = min(70.0, (WIDTH - left - 50) / len(series.labels))
    for at, label in enumerate(series.labels):
        x = left + wide * (at + 0.5)
        picture.add(
            "text", "tr-tick", clean(label, 24), x=x, y=HEAD - 8, text_anchor="start",
            transform=f"rotate(-38 {x:.1f} {HEAD - 8:.1f})",
        )  # fmt: skip
    used = set()
    for line, (name, row) in enumerate(rows):
        y = HEAD + ROW * line
        picture.label(left - 8, y + ROW / 2 + 5, name, "end")
        for at, value in enumerate(row):
            kind = GRID[int(value)] if 0 <= value < len(GRID) and value == int(value) else None
            if kind is None:
                raise ValueError(f"{value!r} has no place in a grid")
            used.add(kind)
            x = left + wide * at
            picture.add(
                "rect", f"tr-cell tr-cell-{kind.name}", x=round(x + 1, 2), y=round(y + 1, 2),
                width=round(wide - 2, 2), height=ROW - 2, data_row=name,
                data_x=clean(series.labels[at], 24), data_y=value,
                title=f"{name}, {clean(series.labels[at], 24)}: {kind.says}",
            )  # fmt: skip
            if kind.mark:
                picture.label(x + wide / 2, y + ROW / 2 + 6, kind.mark,
                              css=f"tr-mark-{kind.name}")  # fmt: skip
    picture.legend += [(f"tr-cell-{kind.name}", kind.says) for kind in GRID if kind in used]
    picture.height = HEAD + ROW * len(rows) + 10
    picture.description = f"{len(rows)} rows, {len(series.labels)} columns"
