"""A report graded again, by a rubric and a person's marks: a pure function. Nothing is run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pytest_triton.criteria.catalogue import Criterion
from pytest_triton.criteria.fold import ACCEPTED, CriterionResult, fold_criterion, level
from pytest_triton.criteria.outcome import Result
from pytest_triton.criteria.status import Status
from pytest_triton.grade.marks import Mark, Marks
from pytest_triton.grade.rubric import THOUSAND, Graded, Partial, Rubric

VERSION = "1.0"


@dataclass(frozen=True, slots=True)
class Scored:
    """One criterion: its status, thousandths of a point, and why."""

    criterion: Graded
    status: Status
    milli: int
    reason: str
    mark: Mark | None = None


def scored(report: Mapping[str, Any], rubric: Rubric, marks: Marks) -> list[Scored]:
    """Every criterion of the rubric over the clauses of the report."""
    clauses = {clause["id"]: clause for clause in report["clauses"]}
    return [_scored(one, clauses, marks.marks.get(one.id)) for one in rubric.criteria]


def _scored(graded: Graded, clauses: Mapping[str, Mapping[str, Any]], mark: Mark | None) -> Scored:
    results = [_result(clauses[name]) for name in graded.clauses]
    plain = Criterion(graded.id, graded.tier, graded.title, graded.milli / THOUSAND)
    folded = fold_criterion(plain, results)
    status, milli, reason = folded.status, 0, folded.reason
    if not graded.clauses:
        status, reason = Status.MANUAL, "a person marks it"
    elif status in ACCEPTED:
        milli = graded.milli
    elif (partial := graded.partial) and (share := _share(partial, graded, folded, clauses)):
        milli = math.floor(graded.milli * share + Fraction(1, 2))
        status = Status.PARTIAL if milli < graded.milli else Status.PASS
        reason = f"{float(share):.0%} of the points by {partial.measurement}; {reason}"
    if mark is not None:
        milli, reason = mark.milli, f"marked by {mark.by}: {mark.reason}"
        full, none = mark.milli == graded.milli, mark.milli == 0
        status = Status.PASS if full else Status.FAIL if none else Status.PARTIAL
    return Scored(graded, status, milli, reason, mark)


def _share(
    partial: Partial, graded: Graded, folded: CriterionResult,
    clauses: Mapping[str, Mapping[str, Any]],
) -> Fraction:  # fmt: skip
    """A share by its measured number, where its clause is all that fails; else 0."""
    broken = [name for name in graded.clauses
              if Status(clauses[name]["status"]) not in (*ACCEPTED, Status.NOT_ASSESSED)]  # fmt: skip
    if folded.status is not Status.FAIL or broken != [partial.clause]:
        return Fraction(0)
    values = [one["value"] for one in clauses[partial.clause]["measurements"]
              if one["name"] == partial.measurement and one["value"] is not None]  # fmt: skip
    return partial.share(float(min(values))) if values else Fraction(0)


def _result(clause: Mapping[str, Any]) -> Result:
    return Result(clause["id"], Status(clause["status"]), clause["reason_code"], clause["reason"])


def to_json(
    report: Mapping[str, Any], sha256: str, rubric: Rubric, marks: Marks,
    found: Sequence[Scored],
) -> dict[str, Any]:  # fmt: skip
    """score.json: the criteria, the sum before and after what came late, and the level."""
    folded = [
        CriterionResult(
            Criterion(one.criterion.id, one.criterion.tier, one.criterion.title, 0.0),
            one.status,
            "",
        )
        for one in found
    ]
    total = sum(one.milli for one in found)
    # whole thousandths: half of one is rounded up
    kept = (total * (100 - marks.deduction) + 50) // 100
    return {
        "score_version": VERSION,
        "report_sha256": sha256,
        "complete": report["complete"],
        "rubric": {"id": rubric.id, "version": rubric.version, "sha256": rubric.sha256},
        "level": level(folded) if report["complete"] and not report["run"]["scope"] else "none",
        "points": points(kept),
        "points_before_late": points(total),
        "max_points": points(sum(one.criterion.milli for one in found)),
        "late": {"days": marks.late_days, "percent": marks.late_percent},
        "criteria": [
            {
                "id": one.criterion.id, "tier": one.criterion.tier, "title": one.criterion.title,
                "status": one.status.value, "points": points(one.milli),
                "max_points": points(one.criterion.milli), "reason": one.reason,
                "clauses": list(one.criterion.clauses),
                **({"marked_by": one.mark.by} if one.mark else {}),
            }
            for one in found
        ],
    }  # fmt: skip


def points(milli: int) -> float | int:
    """A number of points for JSON: whole where it is."""
    return milli // THOUSAND if milli % THOUSAND == 0 else milli / THOUSAND
