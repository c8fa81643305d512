"""Recordings as series for ``promtool test rules``: real pages, stretched to the time that rules need.

A recording is short, and rules look back for minutes. So its parts are repeated, and time goes
faster: what a counter gained between two scrapes is gained at the same rate between two scrapes
of the rules' own interval. Gauges and the latencies of summaries are repeated as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_triton.monitor.exposition import Labels
from pytest_triton.monitoring.stimuli import EVERY_S, Part, Recording

_Key = tuple[str, Labels]
#: Words of promtool for a scrape that lacks a series: it ends, or goes on lacking.
STALE, NOTHING = "stale", "_"


@dataclass(frozen=True, slots=True)
class Moments:
    """When to look, in s of the stretched time: at the end of each part."""

    healthy: float
    faulty: float
    repaired: float


def stretched(
    recording: Recording, job: str, instance: str, *, interval_s: float, part_s: float,
    labels: Mapping[str, str] | None = None,
) -> tuple[list[tuple[str, str]], Moments]:  # fmt: skip
    """``(series, values)`` as promtool reads them, and the moments at which each part ends.

    Each part lasts ``part_s`` at least.
    """
    turns = max(math.ceil(part_s / interval_s), 4)
    added = {"job": job, "instance": instance, **(labels or {})}
    columns: list[dict[_Key, float] | None] = []
    for part in recording.parts:
        columns += list(_repeated(part, turns, interval_s / EVERY_S))
    values = _accumulated(columns, recording)
    made = [(_series("up", (), added), " ".join("0" if column is None else "1"
                                                for column in columns))]  # fmt: skip
    made += [(_series(name, key, added), _words(row)) for (name, key), row in values.items()]
    ends = [(at * turns - 1) * interval_s for at in (1, 2, 3)]
    return made, Moments(*ends)


def _repeated(part: Part, turns: int, faster: float) -> Iterator[dict[_Key, float] | None]:
    """One column for each turn: of counters what they gained, of others what they are.

    The steps of a part are taken in turn; its first one is where it comes from.
    """
    steps: list[dict[_Key, float] | None] = []
    for before, now in zip(part.scrapes, part.scrapes[1:], strict=False):
        if now is None:
            steps.append(None)
            continue
        column = {}
        for name, series in now.series.items():
            grows = now.cumulative(name)
            old = before.series.get(name, {}) if before is not None else {}
            for key, value in series.items():
                if grows:
                    gained = value - old.get(key, value)
                    column[name, key] = max(gained, 0.0) * faster
                else:
                    column[name, key] = value
        steps.append(column)
    for turn in range(turns):
        yield steps[turn % len(steps)] if steps else None


def _accumulated(
    columns: Sequence[dict[_Key, float] | None], recording: Recording
) -> dict[_Key, list[float | None]]:
    """Rows of values: gains are added up; None where a scrape lacks the series."""
    pages = [scrape for part in recording.parts for scrape in part.scrapes if scrape is not None]
    growing = {key[0] for column in columns for key in column or {}
               if any(page.cumulative(key[0]) for page in pages)}  # fmt: skip
    rows: dict[_Key, list[float | None]] = {}
    totals: dict[_Key, float] = {}
    for at, column in enumerate(columns):
        for key, value in (column or {}).items():
            row = rows.setdefault(key, [])
            row += [None] * (at - len(row))
            if key[0] in growing:
                totals[key] = totals.get(key, 0.0) + value
                row.append(totals[key])
            else:
                row.append(value)
    for row in rows.values():
        row += [None] * (len(columns) - len(row))
    return rows


def _series(name: str, key: Labels, added: Mapping[str, str]) -> str:
    labels = {**dict(key), **added}
    inner = ",".join(f'{label}="{_quoted(value)}"' for label, value in sorted(labels.items()))
    return f"{name}{{{inner}}}"


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _words(row: Sequence[float | None]) -> str:
    words = []
    there = False
    for value in row:
        if value is None or math.isnan(value):
            words.append(STALE if there else NOTHING)
            there = False
        else:
            words.append(f"{value:.10g}")
            there = True
    return " ".join(words)
