"""Files as text, and cells as numbers, with the place where they are none."""

from __future__ import annotations

import csv
import io
import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from pytest_triton.load.reading.level import Unreadable

#: Bytes of the largest file that is read; perf_analyzer keeps about 200 for each request.
LIMIT = 64 << 20
#: Rows of the largest table.
ROWS = 100_000
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z")
_FORMULA = ("=", "@", "\t", "\r")
_PROFILE = re.compile(rb'\s*\{\s*"experiments"\s*:')


def read_text(path: Path, shown: str = "") -> str:
    """The text of a regular file. Raises Unreadable: no file, too large, binary, not UTF-8."""
    shown = shown or str(path)
    try:
        # O_NONBLOCK: a pipe in the place of a file must not hold us up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise Unreadable(shown, 0, "no regular file", "hand in a file")
            data = file.read(LIMIT + 1)
    except OSError as error:
        raise Unreadable(shown, 0, error.strerror or str(error), "hand in a file") from None
    if len(data) > LIMIT:
        raise Unreadable(
            shown, 0, f"over {LIMIT >> 20} MiB", "hand in the summary (perf_analyzer -f FILE)"
        )
    if not data.strip():
        raise Unreadable(shown, 0, "empty", "measure again; the tool wrote nothing")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable(shown, 1, "UTF-16", "save it as UTF-8")
    if b"\x00" in data:
        line = data[: data.index(b"\x00")].count(b"\n") + 1
        raise Unreadable(shown, line, "binary", "hand in CSV or JSON")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # perf_analyzer puts the bytes of output tensors into its strings as they are.
        if _PROFILE.match(data):
            return data.decode("latin-1")
        line = data[: error.start].count(b"\n") + 1
        raise Unreadable(shown, line, "not UTF-8", "save it as UTF-8") from None


def rows(text: str, path: str) -> Iterator[tuple[int, list[str]]]:
    """Rows of a CSV with the line where each ends; cells stripped. Empty rows come as []."""
    first = text.split("\n", 1)[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    delimiter = "\t" if first.count("\t") > first.count(delimiter) else delimiter
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if reader.line_num > ROWS:
                raise Unreadable(path, ROWS, "more rows than that", "hand in one row per level")
            for cell in row:
                if cell.startswith(_FORMULA) or (
                    cell[:1] in ("+", "-") and cell[1:] and not _NUMBER.match(cell.strip())
                ):
                    raise Unreadable(
                        path, reader.line_num, f"{cell[:40]!r} is a formula", "hand in numbers"
                    )
            cells = [cell.strip() for cell in row]
            yield reader.line_num, cells if any(cells) else []
    except csv.Error as error:
        raise Unreadable(path, reader.line_num, f"no CSV: {error}", "hand in CSV") from None


def number(cell: str, path: str, line: int, column: str, *, thousands: bool = False) -> float:
    """A cell as a number from 0 on; NaN for an empty one or N/A. Raises Unreadable."""
    plain = cell.replace(",", "") if thousands else cell
    if plain in ("", "N/A"):
        return math.nan
    if not _NUMBER.match(plain):
        raise Unreadable(
            path, line, f"{column} is {cell[:40]!r}, no number", "write plain numbers, 12.5"
        )
    value = float(plain)
    if value < 0 or math.isinf(value):
        raise Unreadable(
            path, line, f"{column} is {cell[:40]}", "measure again: it is a number from 0 on"
        )
    return value


def required(cell: str, path: str, line: int, column: str) -> float:
    """As :func:`number`, of a cell that has to be there."""
    value = number(cell, path, line, column)
    if math.isnan(value):
        raise Unreadable(path, line, f"{column} is missing", "fill the cell, or drop the row")
    return value
