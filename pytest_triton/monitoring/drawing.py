"""Pictures of the panels, out of the series that came: what a grader would see in a Grafana."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_triton.evidence import Evidence
from pytest_triton.monitor.panels import unit_of
from pytest_triton.monitoring.prometheus import QueryFailed, Series
from pytest_triton.monitoring.queries import Answer
from pytest_triton.monitoring.watching import Watched

#: Pictures of all dashboards, lines of one, and characters of a name.
MOST, LINES, NAME = 40, 5, 60
_STEP_S = 0.5
_LABEL = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
#: Grafana's units in words, and the factor that makes it so.
_WORDS = {"reqps": ("requests/s", 1.0), "ops": ("ops/s", 1.0), "rps": ("1/s", 1.0),
          "percentunit": ("%", 100.0), "percent": ("%", 1.0), "decbytes": ("bytes", 1.0),
          "watt": ("W", 1.0), "": ("", 1.0)}  # fmt: skip
_SIZES = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    times: tuple[float, ...]
    values: tuple[float, ...]


def draw(answers: Sequence[Answer], watched: Watched, evidence: Evidence) -> None:
    """A picture of each panel that shows something."""
    named: dict[str, int] = {}
    for panel in _panels(answers):
        if sum(named.values()) >= MOST:
            return
        lines = [line for answer in panel for line in _lines(answer, watched)]
        title = " ".join(panel[0].panel.title.split())[:NAME]
        named[title] = named.get(title, 0) + 1
        name = title if named[title] == 1 else f"{title} ({named[title]})"
        _picture(name, unit_of(panel[0].panel, panel[0].target) or "", lines, watched, evidence)


def _panels(answers: Sequence[Answer]) -> Iterator[list[Answer]]:
    """Queries that are alive, those of one panel together."""
    found: dict[int, list[Answer]] = {}
    for answer in answers:
        if answer.verdict == "alive":
            found.setdefault(id(answer.panel), []).append(answer)
    yield from found.values()


def _lines(answer: Answer, watched: Watched) -> list[_Line]:
    whole = watched.whole
    try:
        found = watched.prometheus.query_range(answer.asked, whole.start, whole.end, _STEP_S)
    except QueryFailed:
        return []
    return [
        _Line(_legend(answer, series), tuple(at - watched.load.start for at in series.times),
              series.values)
        for series in found
    ]  # fmt: skip


def _legend(answer: Answer, series: Series) -> str:
    template = answer.target.legend
    if template and template != "__auto":
        text = _LABEL.sub(lambda match: series.labels.get(match[1], ""), template).strip()
        if text:
            return text[:NAME]
    labels = {name: value for name, value in series.labels.items()
              if name not in ("__name__", "instance", "job")}  # fmt: skip
    said = ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))
    return (said or series.labels.get("__name__") or answer.panel.title)[:NAME]


def _picture(
    name: str, unit: str, lines: Sequence[_Line], watched: Watched, evidence: Evidence
) -> None:
    """Lines at the moments that all of them have; those of few moments are left out."""
    rows = [{round(at, 3): value for at, value in zip(line.times, line.values, strict=True)
             if math.isfinite(value)} for line in lines]  # fmt: skip
    longest = max(map(len, rows), default=0)
    kept = [(line.name, row) for line, row in zip(lines, rows, strict=True)
            if row and len(row) >= 0.7 * longest]  # fmt: skip
    if not kept:
        return
    # those that move most are looked at
    kept = sorted(kept, key=lambda each: -max(map(abs, each[1].values())))[:LINES]
    moments = sorted(set.intersection(*(set(row) for _, row in kept)))
    if not moments:
        return
    words, factor = _worded(unit, max(abs(row[at]) for _, row in kept for at in moments))
    drawn: dict[str, list[float]] = {}
    for label, row in kept:
        label = label if label not in drawn else f"{label} ({len(drawn) + 1})"
        drawn[label] = [row[at] * factor for at in moments]
    (first, values), *more = drawn.items()
    loaded = [value for at, value in zip(moments, values, strict=True)
              if 0 <= at <= watched.load.end - watched.load.start]  # fmt: skip
    seconds = watched.load.end - watched.load.start
    evidence.series(
        name, words, x=moments, y=values, kind="moments", y_name=first, better="none",
        x_name=f"time; load from 0 to {seconds:.0f}", x_unit="s",
        value=(loaded or values)[-1], more={label: (words, row) for label, row in more},
    )  # fmt: skip


def _worded(unit: str, most: float) -> tuple[str, float]:
    """A unit for a reader, and what makes values of it."""
    if unit in ("bytes", "decbytes"):
        for size, word in _SIZES:
            if most >= size:
                return word, 1 / size
    if unit == "s" and most < 1:
        return "ms", 1e3
    return _WORDS.get(unit, (unit[:20], 1.0))
