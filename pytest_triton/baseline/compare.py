"""Two reports compared: statuses, surroundings and numbers, and whether the new one is worse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from pytest_triton.baseline import changes, machine, numbers
from pytest_triton.baseline import statistic as st
from pytest_triton.baseline.changes import Change
from pytest_triton.baseline.loaded import Loaded
from pytest_triton.baseline.machine import Setting
from pytest_triton.baseline.numbers import Number

#: Version of :meth:`Comparison.to_json`.
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed from the old report to the new one.

    ``aside`` counts clauses that only one of the runs was asked to judge.
    """

    old: str
    new: str
    level: Change | None
    criteria: tuple[Change, ...]
    clauses: tuple[Change, ...]
    appeared: tuple[Change, ...]
    vanished: tuple[Change, ...]
    aside: int
    settings: tuple[Setting, ...]
    numbers: tuple[Number, ...]
    new_numbers: tuple[Number, ...]
    lost_numbers: tuple[Number, ...]

    @property
    def decisive(self) -> tuple[Setting, ...]:
        """What makes the numbers incomparable."""
        return tuple(item for item in self.settings if item.decides)

    @property
    def worse(self) -> list[str]:
        """One line for each clause and number that got worse; the reasons of exit status 1."""
        return list(self._worse())

    def _worse(self) -> Iterator[str]:
        for change in self.clauses:
            if change.word == changes.WORSE:
                yield f"{change.id}: {change.old}, now {change.new}"
        for number in self.numbers:
            if number.word == numbers.WORSE:
                yield f"{number.clause} {told(number)}"

    @property
    def verdict(self) -> str:
        """``worse``, ``better``, ``changed`` (neither), or ``no difference``."""
        words = [item.word for item in self.clauses] + [item.word for item in self.numbers]
        if numbers.WORSE in words:
            return "worse"
        if numbers.BETTER in words:
            return "better"
        # Numbers without a direction change from run to run, and say nothing.
        if self.clauses or self.level or self.criteria or self.appeared or self.vanished:
            return "changed"
        return "no difference"

    @property
    def exit_status(self) -> int:
        return 1 if self.verdict == "worse" else 0

    def to_json(self) -> dict[str, Any]:
        """As ``pytest-triton diff --json`` writes it, and as ``baseline`` of report.json."""
        return {
            "schema_version": SCHEMA_VERSION,
            "verdict": self.verdict,
            "worse": self.worse,
            "rule": {
                "alpha": st.ALPHA, "relevant_ratio": st.RELEVANT, "correction": "Holm",
                "confidence": 0.95,
            },
            "comparable": not self.decisive,
            "settings": [asdict(item) for item in self.settings],
            "level": asdict(self.level) if self.level else None,
            "criteria": [asdict(item) for item in self.criteria],
            "clauses": [asdict(item) for item in self.clauses],
            "appeared": [item.id for item in self.appeared],
            "vanished": [item.id for item in self.vanished],
            "not_judged_in_both": self.aside,
            "numbers": [_number(item) for item in self.numbers],
        }  # fmt: skip


def _number(number: Number) -> dict[str, Any]:
    made = asdict(number)
    del made["z"]
    if number.interval:
        made["interval"] = list(number.interval)
    return made


def told(number: Number) -> str:
    """``p95: 4 ms, now 5.2 ms (×1.3 [1.2, 1.4])``."""
    from pytest_triton.criteria.shows import number as shown
    from pytest_triton.criteria.shows import quantity

    sides = [
        "no data" if value is None else quantity(value, number.unit)
        for value in (number.old, number.new)
    ]
    text = f"{number.name}: {sides[0]}, now {sides[1]}"
    if number.ratio is not None:
        text += f" (×{shown(number.ratio)}"
        if number.interval:
            text += f" [{shown(number.interval[0])}, {shown(number.interval[1])}]"
        text += ")"
    return text


def compare(old: Loaded, new: Loaded) -> Comparison:
    """The comparison. Both reports are complete and fit the schema."""
    settings = machine.differing(old.report, new.report)
    comparable = not any(item.decides for item in settings)
    return Comparison(
        old.name,
        new.name,
        changes.level(old.report, new.report),
        tuple(changes.criteria(old.report, new.report)),
        tuple(changes.clauses(old.report, new.report)),
        tuple(changes.appeared(old.report, new.report)),
        tuple(changes.appeared(new.report, old.report)),
        changes.aside(old.report, new.report),
        tuple(settings),
        tuple(numbers.compare(old, new, comparable=comparable)),
        tuple(numbers.unmatched(old, new)),
        tuple(numbers.unmatched(new, old)),
    )
