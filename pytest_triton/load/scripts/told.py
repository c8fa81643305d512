"""How many requests a load test says that it sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.errors import ToolError
from pytest_triton.load.reading import locust
from pytest_triton.load.reading.text import read_text
from pytest_triton.load.records import Record, from_json
from pytest_triton.load.scripts.running import Ran

_LINE = r"^\s*{}\s*[:=]\s*(\d+)\s*$"
_COUNT = re.compile(r"^\s*Request count:\s*(\d+)\s*$", re.MULTILINE)
_SUMMARY = re.compile(r"^\s+Aggregated\s+(\d+)\s+(\d+)\([\d.]+%\)\s*\|", re.MULTILINE)
_LEVEL = re.compile(r"^Request concurrency:\s*(\d+)|^Request Rate:\s*([\d.]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Told:
    """Requests (those that failed among them), failures, the most users, levels; and where."""

    requests: int
    errors: int
    users: int
    levels: int
    where: str


def told(ran: Ran) -> Told | None:
    """What a run said of itself; None when it said no count.

    Read in this order: Locust's summary or CSV, the lines ``requests: N``, ``errors: N`` and ``users: N``,
    JSON as ``pytest-triton load`` writes it (a file or all of the output), perf_analyzer's
    output. Raises ToolError for a file of results that cannot be read.
    """
    return _locust(ran) or _lines(ran.stdout) or _json(ran) or _perf_analyzer(ran.stdout)


def _written(ran: Ran, pattern: str) -> Iterator[Path]:
    for path in sorted(ran.directory.rglob(pattern)):
        if path not in ran.given and not path.is_symlink():
            yield path


def _locust(ran: Ran) -> Told | None:
    """Locust's summary; its ``_stats.csv`` may lack the last second (2.47), so it comes second."""
    histories = list(_written(ran, "*_stats_history.csv"))
    users = [user for path in histories for user in _users(path)] or [0]
    most, levels = max(users), len(set(users) - {0})
    for text in (ran.stderr, ran.stdout):
        if found := _SUMMARY.findall(text):
            requests, errors = found[-1]
            return Told(int(requests), int(errors), most, levels, "Locust's summary")
    for path in _written(ran, "*_stats.csv"):
        text = read_text(path, path.name)
        if locust.is_stats(text.split("\n", 1)[0].strip().split(",")):
            return Told(*locust.totals(text, path.name), most, levels, path.name)
    return None


def _users(history: Path) -> list[int]:
    lines = read_text(history, history.name).splitlines()[1:]
    found = [line.split(",")[1] for line in lines if line.count(",") > 3]
    return [int(cell) for cell in found if cell.isdigit()] or [0]


def _lines(text: str) -> Told | None:
    def last(name: str) -> int | None:
        found: list[str] = re.findall(_LINE.format(name), text, re.MULTILINE | re.IGNORECASE)
        return int(found[-1]) if found else None

    requests = last("requests")
    if requests is None:
        return None
    levels = len(set(re.findall(_LINE.format("users"), text, re.MULTILINE | re.IGNORECASE)))
    return Told(requests, last("errors") or 0, last("users") or 0, levels, "the line requests:")


def _json(ran: Ran) -> Told | None:
    texts = [(read_text(path, path.name), path.name) for path in _written(ran, "*.json")]
    if ran.stdout.lstrip().startswith("["):
        texts.append((ran.stdout, "its output"))
    for text, name in texts:
        try:
            records = from_json(text)
        except ToolError:
            continue
        return Told(
            sum(record.requests for record in records),
            sum(record.errors for record in records),
            max((record.concurrency or 0 for record in records), default=0),
            len({_offered(record) for record in records}),
            name,
        )
    return None


def _offered(record: Record) -> float:
    return float(record.concurrency or record.request_rate or 0)


def _perf_analyzer(text: str) -> Told | None:
    """perf_analyzer tells what it measured; that is what it sent with --request-count only."""
    counts = [int(count) for count in _COUNT.findall(text)]
    if not counts:
        return None
    levels = [a or b for a, b in _LEVEL.findall(text)]
    users = max((int(float(level)) for level in levels), default=0)
    return Told(sum(counts), 0, users, len(set(levels)), "perf_analyzer's Request count")
