"""Objectives that somebody states: [[objective]] in the file that holds budgets."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pytest_triton.errors import ToolError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Percent of requests with a good answer, where nobody states another.
AVAILABILITY = 99.0
_EXAMPLE = (
    'write  [[objective]]  model = "llm"  availability = 99.5  ttft_p95_ms = 300  itl_p95_ms = 40  '
    "rate = 2  window_s = 60"
)
#: Milliseconds, at most.
LATENCIES = ("p50_ms", "p95_ms", "p99_ms")
STREAMS = ("ttft_p50_ms", "ttft_p95_ms", "itl_p50_ms", "itl_p95_ms")


@dataclass(frozen=True)
class Objective:
    """What ``model`` has to keep over ``window_s`` seconds of ``rate`` requests a second, or with
    ``concurrency`` in flight (None: what fits). ``availability`` is percent of requests with a
    good answer; latencies are milliseconds, ``ttft`` and ``itl`` of token streams."""

    model: str
    availability: float = AVAILABILITY
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    ttft_p50_ms: float | None = None
    ttft_p95_ms: float | None = None
    itl_p50_ms: float | None = None
    itl_p95_ms: float | None = None
    rate: float | None = None
    concurrency: int | None = None
    window_s: float | None = None
    max_tokens: int | None = None
    stated: bool = True

    def given(self, names: tuple[str, ...]) -> dict[str, float]:
        """Those that are stated, in ms."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @property
    def streams(self) -> bool:
        """Whether it is about token streams."""
        return bool(self.given(STREAMS))


_KNOWN = {field.name for field in fields(Objective)} - {"stated"}
_WHOLE = ("concurrency", "max_tokens")


def read(path: Path) -> list[Objective]:
    """The objectives of a file; none is no error. Raises ToolError that names the entry."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ToolError(f"{path}: {error}", _EXAMPLE) from None
    entries = document.get("objective", [])
    if not isinstance(entries, list):
        raise ToolError(f"{path}: objective is no list of tables", _EXAMPLE)
    return [_entry(f"{path}: objective {at}", entry) for at, entry in enumerate(entries, 1)]


def _entry(place: str, entry: Any) -> Objective:
    if not isinstance(entry, dict) or not isinstance(entry.get("model"), str):
        raise ToolError(f"{place} names no model", _EXAMPLE)
    if unknown := sorted(set(entry) - _KNOWN):
        raise ToolError(f"{place}: {unknown[0]!r} is not known", _EXAMPLE)
    for name, value in entry.items():
        if name == "model":
            continue
        kind = int if name in _WHOLE else int | float
        if isinstance(value, bool) or not isinstance(value, kind) or not 0 < value < math.inf:
            raise ToolError(
                f"{place}: {name} is {value!r}, a number above 0 was expected", _EXAMPLE
            )
    if not entry.get("availability", AVAILABILITY) < 100:
        raise ToolError(f"{place}: availability has to be below 100 percent",
                        "no number of requests proves 100; 99.9 takes about 7000")  # fmt: skip
    if entry.get("rate") is not None and entry.get("concurrency") is not None:
        raise ToolError(f"{place} has both rate and concurrency", "leave one out")
    return Objective(**entry)
