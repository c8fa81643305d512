"""A table that a person or a script wrote: one row a level, columns with sensible names."""

from __future__ import annotations

import math
import re

from pytest_triton.load.reading.level import Level, Unreadable, make
from pytest_triton.load.reading.text import number, required, rows

TOOL = "table"
EXAMPLE = "concurrency,throughput_rps,mean_ms,p50_ms,p95_ms,p99_ms,requests"
_SCALE = {"us": 1.0, "µs": 1.0, "μs": 1.0, "ms": 1e3, "s": 1e6, "sec": 1e6, "seconds": 1e6,
          "microseconds": 1.0, "milliseconds": 1e3, "usec": 1.0, "msec": 1e3}  # fmt: skip
_UNIT = re.compile(
    r"(?P<name>.*?)[\s_]*[\[(]?(?P<unit>"
    + "|".join(sorted(_SCALE, key=len, reverse=True))
    + r")[\])]?\Z"
)
_LATENCY = re.compile(
    r"(?:latency|response time)? ?(?:(?P<q>p ?(?:50|90|95|99)(?:th)?|(?:50|90|95|99)(?:th|%)?)"
    r"|(?P<median>median)|(?P<mean>mean|avg|average))"
    r"(?: percentile)?(?: latency| response time)?\Z"
)
#: Who is counted in such a column may wait between two requests.
_PEOPLE = re.compile(r"user|client|thread")
_COLUMNS = {
    "concurrency": r"(request )?concurrency( level)?|users?|clients?|in flight|user count|threads",
    "request_rate": r"(target |planned )?request rate|target (rps|qps)",
    "throughput": r"throughput( rps| req/s| requests/s(ec)?)?|rps|qps|requests/s(ec(ond)?)?|req/s(ec)?"
    r"|requests per second|throughput \(?(rps|qps|req/s(ec)?|requests/s(ec(ond)?)?)\)?",
    "inferences": r"inferences/s(ec(ond)?)?|infer/s(ec)?|throughput \(?infer(ences)?/s(ec)?\)?",
    "requests": r"(total )?requests?( count)?|n|count|samples",
    "errors": r"(total )?(errors?|failures?|failed)( count)?",
    "duration": r"duration|time|elapsed|window",
    "model": r"model( name)?",
    "protocol": r"protocol",
}


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name.strip().lower())


def is_table(header: list[str]) -> bool:
    """Whether a first row names a load."""
    return any(
        re.fullmatch(_COLUMNS[kind], _plain(name))
        for name in header
        for kind in ("concurrency", "request_rate")
    )


def read_table(text: str, path: str) -> list[Level]:
    """One level a row. Raises Unreadable, also for a latency or a duration without unit."""
    table = rows(text, path)
    _, header = next(table)
    columns, scales = _columns(header, path)
    for needed in ("p50", "p95", "p99"):
        if needed not in columns:
            raise Unreadable(path, 1, f"no column {needed}", f"write the header  {EXAMPLE}")
    if not {"throughput", "inferences"} & columns.keys():
        raise Unreadable(path, 1, "no column for throughput", f"write the header  {EXAMPLE}")
    found = []
    for line, row in table:
        if not row:
            continue
        if len(row) != len(header):
            raise Unreadable(path, line, f"{len(row)} cells of {len(header)}", "fill the row")

        def told(kind: str, row: list[str] = row, line: int = line) -> float:
            if kind not in columns:
                return math.nan
            at = columns[kind]
            return number(row[at], path, line, header[at]) * scales.get(kind, 1.0)

        def needs(kind: str, row: list[str] = row, line: int = line) -> float:
            required(row[columns[kind]], path, line, header[columns[kind]])
            return told(kind)

        throughput = "throughput" if "throughput" in columns else "inferences"
        load = "concurrency" if "concurrency" in columns else "request_rate"
        latency = {name: needs(name) for name in ("p50", "p95", "p99")}
        latency |= {name: told(name) for name in ("mean", "p90")}
        requests, duration, errors = told("requests"), told("duration"), told("errors")
        found.append(
            make(
                path,
                line,
                TOOL,
                throughput_rps=needs(throughput),
                latency_us=latency,
                requests=None if math.isnan(requests) else requests,
                errors=0 if math.isnan(errors) else errors,
                duration_s=None if math.isnan(duration) else duration,
                model=row[columns["model"]] if "model" in columns else "",
                protocol=row[columns["protocol"]] if "protocol" in columns else "",
                slack=0.02,
                thinks=bool(_PEOPLE.search(_plain(header[columns[load]]))),
                inferences=throughput == "inferences",
                concurrency=needs(load) if load == "concurrency" else None,
                request_rate=needs(load) if load == "request_rate" else None,
            )
        )
    if not found:
        raise Unreadable(path, 1, "no rows", "hand in one row per level")
    return found


def _columns(header: list[str], path: str) -> tuple[dict[str, int], dict[str, float]]:
    """Where each kind of number stands, and what its unit is in microseconds (or seconds)."""
    columns: dict[str, int] = {}
    scales: dict[str, float] = {}
    for at, title in enumerate(header):
        name = _plain(title)
        kind = next((k for k, pattern in _COLUMNS.items() if re.fullmatch(pattern, name)), "")
        match = None if kind else _UNIT.match(name)
        unit = match["unit"] if match else ""
        bare = match["name"].strip() if match else name
        if not kind and (spoken := _LATENCY.match(bare)):
            digits = re.sub(r"\D", "", spoken["q"] or "")
            kind = f"p{digits}" if digits else "p50" if spoken["median"] else "mean"
            if not unit:
                raise Unreadable(
                    path, 1, f"column {title!r} has no unit", f"write {title}_ms or {title}_us"
                )
            scales[kind] = _SCALE[unit]
        elif kind == "duration" or re.fullmatch(_COLUMNS["duration"], bare):
            kind = "duration"
            if not unit:
                raise Unreadable(path, 1, f"column {title!r} has no unit", f"write {title}_s")
            scales[kind] = _SCALE[unit] / 1e6
        if kind in columns:
            raise Unreadable(path, 1, f"two columns for {kind}", "keep one of them")
        if kind:
            columns[kind] = at
    return columns, scales
