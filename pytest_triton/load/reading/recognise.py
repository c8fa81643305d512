"""Which tool wrote a file: told by its content, never by its name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pytest_triton.errors import ToolError
from pytest_triton.load.reading import genai_perf, locust, perf_analyzer, plain
from pytest_triton.load.reading.level import Level, Unreadable, make
from pytest_triton.load.reading.text import read_text, rows
from pytest_triton.load.records import Record, from_json

#: Files of a tool that stand beside its results and hold no level.
_BESIDE = re.compile(r"(_stats|_failures|_exceptions|inputs|llm_inputs)\.(csv|json)\Z")
_GAP = re.compile(r"[ \t\r\n,]*")
#: Levels of one file; what compares them all with each other has to end.
MOST_LEVELS = 500
SUFFIXES = (".csv", ".json", ".tsv")
_KINDS = (
    "hand in perf_analyzer's CSV (-f) or --profile-export-file, genai-perf's or Locust's files, "
    f"the JSON of pytest-triton load, or a CSV with the header  {plain.EXAMPLE}"
)


def read(path: Path, shown: str = "") -> list[Level]:
    """The levels of one file, in its order; ``shown`` is its name in messages.

    Raises Unreadable with file, line and remedy.
    """
    shown = shown or str(path)
    levels = _read(path, shown)
    if len(levels) > MOST_LEVELS:
        raise Unreadable(
            shown, 0, f"{len(levels)} levels, over {MOST_LEVELS}", "hand in one row per level"
        )
    return levels


def _read(path: Path, shown: str) -> list[Level]:
    text = read_text(path, shown)
    if text.lstrip()[:1] in ("{", "["):
        return _json(text, shown)
    for line, header in rows(text, shown):
        if not header:
            continue
        if line == 1 or not _before(text, line):
            return _csv(text.lstrip("\r\n"), header, shown)
    raise Unreadable(shown, 1, "no benchmark that is known", _KINDS)


def read_all(files: Iterable[tuple[Path, str]]) -> Iterator[Level]:
    """The levels of files (path, name in messages); those that stand beside results are left out.

    Raises Unreadable.
    """
    for path, shown in files:
        if not _BESIDE.search(path.name):
            yield from read(path, shown)


def _before(text: str, line: int) -> str:
    return "".join(text.splitlines()[: line - 1]).strip(" ,;\t")


def _csv(text: str, header: list[str], shown: str) -> list[Level]:
    if perf_analyzer.is_csv(header):
        return perf_analyzer.read_csv(text, shown)
    if locust.is_history(header):
        return locust.read_history(text, shown)
    if locust.is_stats(header):
        raise Unreadable(
            shown, 1, "Locust's totals say no number of users", "hand in its _stats_history.csv"
        )
    if genai_perf.is_csv(header):
        return genai_perf.read_csv(text, shown)
    if plain.is_table(header):
        return plain.read_table(text, shown)
    told = ", ".join(header)[:80]
    raise Unreadable(shown, 1, f"no benchmark that is known: {told!r}", _KINDS)


def _json(text: str, shown: str) -> list[Level]:
    document = perf_analyzer.load_profile(text, shown)
    if perf_analyzer.is_profile(document):
        return perf_analyzer.read_profile(document, shown)
    if genai_perf.is_json(document):
        return genai_perf.read_json(document, shown)
    if not isinstance(document, list):
        raise Unreadable(shown, 1, "no benchmark that is known", _KINDS)
    try:
        records = from_json(text)
    except ToolError as error:
        match = re.match(r"record (\d+)", error.message)
        line = _line(text, document, int(match[1])) if match else 1
        raise Unreadable(shown, line, error.message, error.remedy) from None
    return [_own(record, shown, _line(text, document, at), at) for at, record in enumerate(records)]


def _own(record: Record, shown: str, line: int, at: int) -> Level:
    return make(
        shown,
        line,
        record.engine or "pytest-triton load",
        throughput_rps=record.throughput_rps,
        latency_us=record.latency_us,
        concurrency=record.concurrency,
        request_rate=record.request_rate,
        requests=record.requests,
        errors=record.errors,
        duration_s=record.duration_s,
        model=record.model,
        protocol=record.protocol,
        more={**record.more, "record": at},
    )


def _line(text: str, document: list[Any], at: int) -> int:
    """The line on which an entry of a list of JSON objects begins."""
    decoder = json.JSONDecoder()
    end = text.index("[") + 1
    for number in range(len(document)):
        begin = _GAP.match(text, end).end()  # type: ignore[union-attr]  # it may be empty
        if number == at:
            return text.count("\n", 0, begin) + 1
        try:
            _, end = decoder.raw_decode(text, begin)
        except ValueError:
            break
    return 1
