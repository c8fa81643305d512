"""The state of one armed run: what was collected, what came out, and the verdict so far."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_triton.criteria import Catalogue, Clause, Reason, Status
from pytest_triton.criteria.fold import CriterionResult, Verdict, fold_criterion, verdict
from pytest_triton.criteria.outcome import Outcome, Result, combine
from pytest_triton.criteria.waivers import Waiver, apply
from pytest_triton.settings import Settings


class Scorecard:
    """Collects outcomes; the expected set comes from the catalogue, never from collection."""

    def __init__(
        self, settings: Settings, catalogue: Catalogue, waivers: dict[str, Waiver] | None = None
    ) -> None:
        self.settings = settings
        self.catalogue = catalogue
        self.waivers = waivers or {}
        self.armed = False
        self.collected: set[str] = set()
        self.deselected: set[str] = set()
        self.subject: dict[str, Any] = {}
        self.outcomes: dict[str, list[Outcome]] = {}

    def add(self, outcome: Outcome) -> None:
        """Take what one test said of its clause."""
        self.outcomes.setdefault(outcome.clause, []).append(outcome)

    def in_scope(self, clause: Clause) -> bool:
        return not self.settings.scope or clause.area in self.settings.scope

    def counts(self) -> dict[str, int]:
        """Clauses in scope by status."""
        counts: dict[str, int] = {}
        for name, result in self.results().items():
            if self.in_scope(self.catalogue.clauses[name]):
                counts[result.status.value] = counts.get(result.status.value, 0) + 1
        return counts

    def holes(self) -> list[str]:
        """Clauses in scope of which a test was deselected, not selected, or not come to."""
        codes = (Reason.DESELECTED.value, Reason.NOT_RUN.value)
        return [
            name
            for name, result in self.results().items()
            if result.reason_code in codes and self.in_scope(self.catalogue.clauses[name])
        ]

    def results(self) -> dict[str, Result]:
        """A result for every clause of the catalogue, waivers applied."""
        results = {name: self._result(clause) for name, clause in self.catalogue.clauses.items()}
        apply(self.waivers, results)
        return results

    def _result(self, clause: Clause) -> Result:
        outcomes = self.outcomes.get(clause.id)
        if outcomes and clause.id not in self.deselected:
            return combine(clause.id, outcomes)
        if not clause.built:
            code, why = Reason.NOT_BUILT, clause.unbuilt
        elif not self.in_scope(clause):
            code, why = Reason.DESELECTED, "outside --triton-scope"
        elif clause.id in self.deselected or clause.id not in self.collected:
            code, why = Reason.DESELECTED, "no test of it was selected"
        else:
            code, why = Reason.NOT_RUN, "the run ended before it"
        if outcomes:
            partial = combine(clause.id, outcomes)
            if partial.status in (Status.FAIL, Status.ERROR):
                return partial
            why = "some of its tests were deselected"
        return Result(clause.id, Status.NOT_ASSESSED, code.value, why)

    def criteria(self, results: dict[str, Result]) -> list[CriterionResult]:
        """Every criterion of the catalogue, folded."""
        return [
            fold_criterion(
                criterion, [results[clause.id] for clause in self.catalogue.of(criterion.id)]
            )
            for criterion in self.catalogue.criteria.values()
        ]

    def verdict(
        self,
        results: dict[str, Result],
        criteria: Iterable[CriterionResult],
        *,
        complete: bool,
    ) -> Verdict:
        """The verdict of the run."""
        return verdict(
            self.catalogue,
            results,
            list(criteria),
            tier=self.settings.tier,
            scope=self.settings.scope,
            complete=complete,
        )
