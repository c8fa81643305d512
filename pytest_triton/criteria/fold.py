"""From the results of clauses to criteria, points, level and exit status. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from pytest_triton.criteria.catalogue import Catalogue, Clause, Criterion
from pytest_triton.criteria.outcome import Result
from pytest_triton.criteria.status import Reason, Status, worst
from pytest_triton.options import TIERS

ACCEPTED = (Status.PASS, Status.WAIVED)


@dataclass(slots=True)
class CriterionResult:
    """A criterion's status with the clauses that made it so."""

    criterion: Criterion
    status: Status
    reason: str
    clauses: list[str] = field(default_factory=list)

    @property
    def points(self) -> float:
        """All or nothing here; partial credit belongs to graded submissions."""
        return self.criterion.points if self.status in ACCEPTED else 0.0


@dataclass(slots=True)
class Verdict:
    """The outcome of an armed run."""

    level: str
    points: float
    max_points: float
    exit_status: int
    reasons: list[str]


def tiers_up_to(tier: str) -> tuple[str, ...]:
    """The tier and those below it."""
    return TIERS[: TIERS.index(tier) + 1]


def above(clause: Clause, catalogue: Catalogue, tier: str) -> bool:
    """Whether the clause belongs only to criteria above the asked tier."""
    asked = tiers_up_to(tier)
    return bool(clause.criteria) and all(
        catalogue.criteria[name].tier not in asked for name in clause.criteria
    )


def fold_criterion(criterion: Criterion, results: Sequence[Result]) -> CriterionResult:
    """Worst wins; what does not apply stays out as long as something passed."""
    ids = [result.clause for result in results]
    if not results:
        return CriterionResult(criterion, Status.NOT_ASSESSED, "no clause is built for it", ids)
    passed = any(result.status in ACCEPTED for result in results)
    counted = [result for result in results if result.applicable or not passed]
    status = worst(result.status for result in counted)
    decisive = [result for result in counted if result.status is status]
    return CriterionResult(criterion, status, _why(status, decisive, len(counted)), ids)


def _why(status: Status, decisive: Sequence[Result], total: int) -> str:
    if status is Status.PASS:
        return f"{total} {'clause passes' if total == 1 else 'clauses pass'}"
    first = decisive[0]
    text = first.reason.strip().splitlines()[0] if first.reason.strip() else status.value
    code = (first.reason_code or "").replace("_", " ")
    if status is Status.NOT_ASSESSED and code not in text:
        text = f"{code}: {text}"
    more = f" (and {len(decisive) - 1} more)" if len(decisive) > 1 else ""
    return f"{first.clause}: {text}{more}"


def level(criteria: Iterable[CriterionResult]) -> str:
    """The highest tier of which, and of all below it, every criterion passes."""
    collected = list(criteria)
    reached = "none"
    for tier in TIERS:
        of_tier = [item for item in collected if item.criterion.tier == tier]
        if not of_tier or any(item.status not in ACCEPTED for item in of_tier):
            break
        reached = tier
    return reached


def verdict(
    catalogue: Catalogue,
    results: Mapping[str, Result],
    criteria: Sequence[CriterionResult],
    *,
    tier: str,
    scope: Collection[str] = (),
    complete: bool = True,
) -> Verdict:
    """Level, points and exit status (0 or 1) of an armed run.

    A clause that belongs only to criteria above ``tier`` does not decide; inside a scope
    every deciding clause has to pass, and no level is awarded.
    """
    asked = tiers_up_to(tier)
    reasons: list[str] = []
    if not complete:
        reasons.append("the run is incomplete")
    for clause in catalogue.clauses.values():
        if (scope and clause.area not in scope) or above(clause, catalogue, tier):
            continue
        result = results[clause.id]
        hole = result.reason_code in (Reason.DESELECTED.value, Reason.NOT_RUN.value)
        bad = result.status in (Status.FAIL, Status.ERROR) or hole
        if scope and clause.criteria:
            bad = bad or (result.status not in ACCEPTED and result.applicable)
        if bad:
            reasons.append(f"{clause.id} {result.status.value}")
    if not scope:
        reasons += [
            f"{item.criterion.id} {item.status.value}"
            for item in criteria
            if item.criterion.tier in asked and item.status not in ACCEPTED
        ]
    elif not any(
        results[clause.id].status in ACCEPTED
        for clause in catalogue.clauses.values()
        if clause.area in scope
    ):
        reasons.append("nothing in the scope passed")
    points = sum((Fraction(str(item.points)) for item in criteria), Fraction(0))
    most = sum((Fraction(str(item.criterion.points)) for item in criteria), Fraction(0))
    return Verdict(
        level=level(criteria) if not scope and complete else "none",
        points=float(points),
        max_points=float(most),
        exit_status=1 if reasons else 0,
        reasons=reasons,
    )
