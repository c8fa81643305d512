"""What ``locust --csv`` writes: ``_stats_history.csv`` has levels, ``_stats.csv`` a count."""

from __future__ import annotations

import math
from itertools import groupby

from pytest_triton.load.reading.level import Level, Unreadable, make
from pytest_triton.load.reading.text import number, required, rows

TOOL = "locust"
#: Seconds over which Locust takes the percentiles of a row.
WINDOW_S = 10
#: Shortest time at one number of users that is a level; time stamps are whole seconds.
SHORTEST_S = 8
_PERCENTILES = {"50%": "p50", "90%": "p90", "95%": "p95", "99%": "p99"}
_AGAIN = "run  locust --headless --csv NAME  with at least 12 s at each number of users"


def is_history(header: list[str]) -> bool:
    """Whether this is the first row of a ``_stats_history.csv``."""
    return header[:2] == ["Timestamp", "User Count"]


def is_stats(header: list[str]) -> bool:
    """Whether this is the first row of a ``_stats.csv``."""
    return header[:3] == ["Type", "Name", "Request Count"]


def read_history(text: str, path: str) -> list[Level]:
    """One level for each stretch of time with the same number of users.

    Throughput and mean come from the totals, which Locust keeps exactly. Percentiles are those
    of the last 10 s with --csv-full-history (which has rows for each name too), else those of
    all requests so far, which say something of the first level only. Locust rounds them to
    1 ms, or to two digits.
    """
    table = rows(text, path)
    _, header = next(table)
    wanted = ("Name", "Total Request Count", "Total Failure Count", "Total Average Response Time")
    if missing := [name for name in wanted if name not in header]:
        raise Unreadable(path, 1, f"no column {', '.join(missing)}", _AGAIN)
    seen: list[tuple[int, dict[str, str]]] = []
    recent = False
    for line, row in table:
        if not row:
            continue
        if len(row) != len(header):
            raise Unreadable(path, line, f"{len(row)} cells of {len(header)}", _AGAIN)
        cells = dict(zip(header, row, strict=True))
        if cells["Name"] == "Aggregated":
            seen.append((line, cells))
        else:
            recent = True
    found: list[Level] = []
    for users, group in groupby(
        seen, key=lambda entry: required(entry[1]["User Count"], path, entry[0], "User Count")
    ):
        stretch = list(group)
        if users >= 1 and (level := _level(path, users, stretch, recent or not found)):
            found.append(level)
    if not found:
        raise Unreadable(path, 1, f"no {SHORTEST_S} s at the same number of users", _AGAIN)
    return found


def _level(
    path: str, users: float, stretch: list[tuple[int, dict[str, str]]], percentiles: bool
) -> Level | None:
    def told(entry: tuple[int, dict[str, str]], name: str) -> float:
        return required(entry[1][name], path, entry[0], name)

    # Totals stand still at the end, once the users are being stopped.
    while len(stretch) > 1 and told(stretch[-1], "Total Request Count") == told(
        stretch[-2], "Total Request Count"
    ):
        stretch = stretch[:-1]
    first, last = stretch[0], stretch[-1]
    seconds = told(last, "Timestamp") - told(first, "Timestamp")
    if seconds < SHORTEST_S:
        return None
    line = last[0]
    totals = [told(entry, "Total Request Count") for entry in (first, last)]
    failed = [told(entry, "Total Failure Count") for entry in (first, last)]
    sums = [
        told(entry, "Total Average Response Time") * total
        for entry, total in zip((first, last), totals, strict=True)
    ]
    requests, errors = totals[1] - totals[0], failed[1] - failed[0]
    if requests < 0 or errors < 0 or errors > requests:
        raise Unreadable(path, line, "totals go down", "hand in what Locust wrote, unchanged")
    if requests == errors:
        raise Unreadable(
            path, line, f"no request succeeded with {users:g} users", "mend the locustfile first"
        )
    latency = {"mean": (sums[1] - sums[0]) / requests * 1e3}
    for column, short in _PERCENTILES.items():
        value = number(last[1].get(column, ""), path, line, column)
        latency[short] = value * 1e3 if percentiles and seconds >= WINDOW_S else math.nan
    return make(
        path,
        line,
        TOOL,
        throughput_rps=(requests - errors) / seconds,
        latency_us=latency,
        concurrency=users,
        requests=requests,
        errors=errors,
        duration_s=seconds,
        thinks=True,
        slack=1 / seconds,
    )


def totals(text: str, path: str) -> tuple[int, int]:
    """Requests and failures of a ``_stats.csv``. Raises Unreadable."""
    table = rows(text, path)
    _, header = next(table)
    for line, row in table:
        cells = dict(zip(header, row, strict=False))
        if cells.get("Name") == "Aggregated":
            return (
                int(required(cells["Request Count"], path, line, "Request Count")),
                int(required(cells.get("Failure Count", ""), path, line, "Failure Count")),
            )
    raise Unreadable(path, 1, "no row Aggregated", _AGAIN)
