"""What a person adds to a score: marks with a name and a reason, and days that it came late.

They lie in a file of their own beside report.json, which stays what the run has seen.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_triton.errors import Misused
from pytest_triton.grade.rubric import Rubric, thousandths

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_EXAMPLE = (
    'write  [[mark]]  criterion = "A3"  points = 5  by = "R. Chen"  reason = "…"   and   [late]  '
    "days = 2  percent = 10"
)


@dataclass(frozen=True, slots=True)
class Mark:
    """Points that a person gives for a criterion, in thousandths, and why."""

    criterion: str
    milli: int
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Marks:
    """All of them. ``late_days`` take ``late_percent`` of the points each."""

    marks: Mapping[str, Mark] = field(default_factory=dict)
    late_days: int = 0
    late_percent: int = 0

    @property
    def deduction(self) -> int:
        """Percent that is taken off, 100 at most."""
        return min(100, self.late_days * self.late_percent)


def read(path: Path, rubric: Rubric) -> Marks:
    """Marks for criteria of a rubric. Raises Misused that names the entry."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Misused(f"{path}: {error}", _EXAMPLE) from None
    if unknown := sorted(set(document) - {"mark", "late"}):
        raise Misused(f"{path}: {unknown[0]!r} is not known", _EXAMPLE)
    known = {criterion.id: criterion for criterion in rubric.criteria}
    found: dict[str, Mark] = {}
    entries = document.get("mark", [])
    if not isinstance(entries, list):
        raise Misused(f"{path}: mark is no list of tables", _EXAMPLE)
    for entry in entries:
        if not isinstance(entry, dict) or set(entry) != {"criterion", "points", "by", "reason"}:
            raise Misused(f"{path}: a mark has criterion, points, by and reason", _EXAMPLE)
        name, place = entry["criterion"], f"{path}: mark of {entry['criterion']!r:.40}"
        if name not in known:
            raise Misused(f"{place}: the rubric has no such criterion", _EXAMPLE)
        if name in found:
            raise Misused(f"{place} comes twice", _EXAMPLE)
        if not all(isinstance(entry[key], str) and entry[key].strip() for key in ("by", "reason")):
            raise Misused(f"{place} says not who gave it and why", _EXAMPLE)
        if not isinstance(entry["points"], int | float) or isinstance(entry["points"], bool):
            raise Misused(f"{place}: points are {entry['points']!r}", _EXAMPLE)
        milli = thousandths(entry["points"], place)
        if not 0 <= milli <= known[name].milli:
            raise Misused(f"{place}: {entry['points']} of {known[name].milli / 1000:g} points",
                          "a mark is between 0 and the criterion's points")  # fmt: skip
        found[name] = Mark(name, milli, entry["by"], entry["reason"])
    return Marks(found, *_late(path, document.get("late", {})))


def _late(path: Path, entry: Any) -> tuple[int, int]:
    if not isinstance(entry, dict) or set(entry) not in (set(), {"days", "percent"}):
        raise Misused(f"{path}: late has days and percent", _EXAMPLE)
    days, percent = entry.get("days", 0), entry.get("percent", 0)
    for name, value in (("days", days), ("percent", percent)):
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 1000:
            raise Misused(
                f"{path}: late.{name} is {value!r}, a whole number was expected", _EXAMPLE
            )
    return days, percent
