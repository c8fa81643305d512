"""What several outputs take out of a report in the same way."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .. import text

#: Statuses that nobody has to look at.
FINE = ("pass", "waived")
#: Statuses that count against whoever is judged.
BAD = ("fail", "error", "missing", "partial")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~#])")
#: Characters that XML 1.0 does not have; control characters are gone by then.
_NOT_XML = re.compile("[\ufffe\uffff]")
SYMBOLS = {"pass": "✅", "waived": "☑️", "fail": "❌", "error": "⚠️", "inconclusive": "❔",
           "partial": "◐", "missing": "∅", "manual": "✍️"}  # fmt: skip


def title(report: Mapping[str, Any]) -> str:
    """One line: level, points."""
    verdict = report["verdict"]
    given, most = points(verdict["points"]), points(verdict["max_points"])
    told = f"level {verdict['level']}, {given} of {most} points"
    return told if report["complete"] else f"{told}, incomplete"


def final(report: Mapping[str, Any]) -> bool:
    """Whether there is a score: the run ended, and nothing of it is an error of ours."""
    return report["complete"] and all(one["status"] != "error" for one in report["criteria"])


def points(value: float) -> str:
    """12.5, 15."""
    return f"{value:g}"


def clauses(report: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """By id."""
    return {clause["id"]: clause for clause in report["clauses"]}


def troubles(
    report: Mapping[str, Any], criterion: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """The clauses of a criterion that keep it from its points, what is broken first."""
    known = clauses(report)
    mine = [known[name] for name in criterion["clauses"] if name in known]
    open_ones = [
        one for one in mine
        if one["status"] not in FINE and one["reason_code"] not in ("not_applicable",)
    ]  # fmt: skip
    return iter(sorted(open_ones, key=lambda one: one["status"] not in BAD))


def reason(entry: Mapping[str, Any], limit: int = 300) -> str:
    """The first line of why, or the status in words."""
    return text.first_line(entry["reason"], limit) or text.words(entry["status"])


def escaped(told: object, limit: int = 300) -> str:
    """A line of text that Markdown shows as it is."""
    line = " ".join(text.clean(told, limit).split())
    return _MARKDOWN.sub(r"\\\1", line).replace("@", "@\u200b")


def xml(told: object, limit: int = text.LIMIT) -> str:
    """Text that XML can hold; the writer escapes it."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text.clean(told, limit))


def document(made: Any) -> str:
    """JSON for people too; half of a pair of code units is no character of UTF-8."""
    return text.plain(json.dumps(made, indent=1, ensure_ascii=False)) + "\n"


def milliseconds(moment: str) -> int:
    """Since the epoch, of an ISO 8601 time in a report."""
    return round(dt.datetime.fromisoformat(moment).timestamp() * 1000)


def seconds(report: Mapping[str, Any]) -> float:
    """How long the run took."""
    return (milliseconds(report["finished"]) - milliseconds(report["started"])) / 1000
