"""Samples of a measurement as report.json keeps them: in itself, or in a file beside it.

``samples`` of a measurement is a list of numbers, a series (an object, see :class:`Series`), or
the path of an evidence file that holds either as JSON, gzipped when its name ends in ``.gz``.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeAlias, get_args

#: Bytes of a samples' file that are read, packed or unpacked.
MAX_BYTES = 64 << 20
#: Values of one series that report.json itself holds; more go into a file.
INLINE = 256


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cell of a grid says."""

    name: str
    mark: str
    says: str


#: By the number that a series has: nothing happened, and nothing had to; and so on.
GRID = (
    Cell("quiet", "", "quiet, as it should be"),
    Cell("right", "✓", "fires, as it should"),
    Cell("wrong", "✗", "fires and should not"),
    Cell("missing", "–", "is quiet and should fire"),
)

#: The parts of a request's time, in the order in which they pass; each has one colour everywhere.
PARTS = ("outside", "front end", "queue", "input", "infer", "output")

#: What is drawn of a series: a distribution in order of time, ratios of pairs, one number against
#: another, percentiles of windows against time, values against time, executions for each batch
#: size, parts of a whole, what each row does in each column, spans of time below each other.
Kind: TypeAlias = Literal[
    "distribution", "pairs", "curve", "times", "moments", "batches", "stages", "matrix", "waterfall"
]
KINDS: tuple[str, ...] = get_args(Kind)


class NoSamples(Exception):
    """The samples cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of values beside the first, all at the same ``x``."""

    name: str
    unit: str
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """``y`` (in the measurement's unit) at ``x``; ``labels`` instead of ``x`` for parts of a whole.

    ``lost`` values were no numbers and are left out, together with their ``x``.
    """

    y: tuple[float, ...]
    kind: Kind = "distribution"
    x: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    x_name: str = ""
    x_unit: str = ""
    y_name: str = ""
    more: tuple[Line, ...] = ()
    lost: int = 0


def size(content: Any) -> int:
    """How many values a list or a series holds."""
    if isinstance(content, Mapping):
        rows = [content.get("x", ()), content["y"], *(row["y"] for row in content.get("more", ()))]
        return sum(len(row) for row in rows)
    return len(content)


def packed(content: Any) -> bytes:
    """The gzipped JSON of a list or a series: the same content gives the same bytes."""
    made = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=made, mode="wb", mtime=0) as file:
        file.write(json.dumps(content, separators=(",", ":")).encode())
    return made.getvalue()


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


def read(samples: Any, directory: Path, evidence: Sequence[Mapping[str, Any]]) -> Series:
    """The series of a measurement's ``samples``. NoSamples when it is not what was kept."""
    if not isinstance(samples, str):
        return _series(samples)
    target = inside(directory, samples)
    try:
        if target.stat().st_size > MAX_BYTES:
            raise NoSamples(f"the samples' file has more than {MAX_BYTES >> 20} MiB")
        data = target.read_bytes()
    except OSError as error:
        raise NoSamples(f"the samples cannot be read: {error.strerror}") from None
    known = {entry["sha256"] for entry in evidence if entry["path"] == samples}
    if known and hashlib.sha256(data).hexdigest() not in known:
        raise NoSamples("the samples' file is not the one that the report was made of")
    try:
        content = json.loads(_unpacked(data) if samples.endswith(".gz") else data)
    except (ValueError, RecursionError, OSError, EOFError):
        raise NoSamples("the samples' file is no list of numbers") from None
    return _series(content)


def _unpacked(data: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        plain = file.read(MAX_BYTES + 1)
    if len(plain) > MAX_BYTES:
        raise NoSamples(f"the samples' file unpacks to more than {MAX_BYTES >> 20} MiB")
    return plain


def _series(content: Any) -> Series:
    if isinstance(content, list):
        values = _numbers(content, "the samples' file is no list of numbers")
        finite = tuple(value for value in values if math.isfinite(value))
        return Series(finite, lost=len(values) - len(finite))
    if not isinstance(content, dict) or content.get("kind") not in KINDS:
        raise NoSamples("the samples' file is no list of numbers and no series")
    wrong = "the series has something other than numbers"
    y = _numbers(content.get("y"), wrong)
    x: Any = content.get("x") or []
    labels: tuple[str, ...] = ()
    if isinstance(x, list) and x and all(isinstance(item, str) for item in x):
        labels, x = tuple(x), []
    places = _numbers(x, wrong)
    more = content.get("more") or []
    if not isinstance(more, list) or not all(isinstance(row, dict) for row in more):
        raise NoSamples(wrong)
    rows = [_numbers(row.get("y"), wrong) for row in more]
    told = len(labels) or len(places)
    if (told and told != len(y)) or any(len(row) != len(y) for row in rows):
        raise NoSamples("the rows of the series are not equally long")
    kept = [
        at
        for at in range(len(y))
        if all(math.isfinite(row[at]) for row in (y, *rows, *([places] if places else [])))
    ]
    return Series(
        tuple(y[at] for at in kept),
        content["kind"],
        tuple(places[at] for at in kept) if places else (),
        tuple(labels[at] for at in kept) if labels else (),
        x_name=str(content.get("x_name", "")),
        x_unit=str(content.get("x_unit", "")),
        y_name=str(content.get("y_name", "")),
        more=tuple(
            Line(str(row.get("name", "")), str(row.get("unit", "")), tuple(y[at] for at in kept))
            for row, y in zip(more, rows, strict=True)
        ),
        lost=len(y) - len(kept),
    )


def _numbers(content: Any, wrong: str) -> list[float]:
    if not isinstance(content, list) or any(
        item is not None and (isinstance(item, bool) or not isinstance(item, (int, float)))
        for item in content
    ):
        raise NoSamples(wrong)
    try:
        return [math.nan if item is None else float(item) for item in content]
    except OverflowError:
        raise NoSamples(wrong) from None
