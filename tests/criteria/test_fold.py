"""From outcomes to results, criteria, level and verdict: pure functions."""

from __future__ import annotations

import itertools

import pytest

from pytest_triton.criteria import Catalogue, Clause, Criterion, Reason, Status, worst
from pytest_triton.criteria.fold import above, fold_criterion, level, tiers_up_to, verdict
from pytest_triton.criteria.outcome import Outcome, Result, combine

ORDER = (
    "pass", "waived", "partial", "manual", "not_assessed", "inconclusive", "missing", "fail",
    "error",
)  # fmt: skip
TIERS = ("basic", "advanced", "expert")
CRITERIA = (("B1", "basic", 60), ("A1", "advanced", 30), ("E1", "expert", 10))


def result(name: str, status: str, code: str | None = None) -> Result:
    return Result(name, Status(status), code, f"{status} of {name}")


def catalogue(**clauses: tuple[str, ...]) -> Catalogue:
    """Criteria B1, A1, E1 and the clauses with the criteria that they belong to."""
    made = Catalogue()
    for name, tier, points in CRITERIA:
        made.criteria[name] = Criterion(name, tier, name, points)
    for name, criteria in clauses.items():
        made.clauses[name] = Clause(name, "setup", name, "MUST", "", "", criteria=criteria)
    return made


def judged(made: Catalogue, statuses: dict[str, Result], **more: object) -> object:
    folded = [
        fold_criterion(c, [statuses[clause.id] for clause in made.of(c.id)])
        for c in made.criteria.values()
    ]
    return verdict(made, statuses, folded, **{"tier": "basic", **more})  # type: ignore[arg-type]


def test_the_lattice() -> None:
    assert tuple(status.value for status in Status) == ORDER
    for better, worse in itertools.combinations(Status, 2):
        assert worst([better, worse]) is worst([worse, better]) is worse
    with pytest.raises(ValueError, match="empty"):
        worst([])


def test_only_pass_and_waived_are_points() -> None:
    for status in Status:
        folded = fold_criterion(Criterion("B1", "basic", "", 5), [result("X", status.value)])
        assert folded.status is status
        assert folded.points == (5 if status.value in ("pass", "waived") else 0)


@pytest.mark.parametrize("status", [s for s in ORDER if s != "pass"])
def test_the_worst_clause_decides_in_every_order(status: str) -> None:
    results = [result("X", "pass"), result("Y", status), result("Z", "pass")]
    for order in itertools.permutations(results):
        folded = fold_criterion(Criterion("B1", "basic", "", 5), order)
        assert folded.status.value == status
        assert "Y" in folded.reason or status == "pass"


def test_not_applicable_stays_out_as_long_as_something_passed() -> None:
    criterion = Criterion("B1", "basic", "", 5)
    apart = result("Y", "not_assessed", "not_applicable")
    assert fold_criterion(criterion, [result("X", "pass"), apart]).status is Status.PASS
    assert fold_criterion(criterion, [apart]).status is Status.NOT_ASSESSED
    assert fold_criterion(criterion, [apart, result("X", "fail")]).status is Status.FAIL
    assert fold_criterion(criterion, []).status is Status.NOT_ASSESSED


@pytest.mark.parametrize(
    "code", [reason.value for reason in Reason if reason.value != "not_applicable"]
)
def test_every_other_hole_is_a_hole(code: str) -> None:
    hole = result("Y", "not_assessed", code)
    folded = fold_criterion(Criterion("B1", "basic", "", 5), [result("X", "pass"), hole])
    assert folded.status is Status.NOT_ASSESSED
    assert code.replace("_", " ") in folded.reason


def test_the_level_has_no_gaps() -> None:
    for passed in itertools.product([True, False], repeat=3):
        folded = [
            fold_criterion(Criterion(n, t, "", p), [result("X", "pass" if ok else "fail")])
            for (n, t, p), ok in zip(CRITERIA, passed, strict=True)
        ]
        wanted = "none"
        for tier, ok in zip(TIERS, passed, strict=True):
            if not ok:
                break
            wanted = tier
        assert level(folded) == wanted


def test_tiers() -> None:
    assert [tiers_up_to(tier) for tier in TIERS] == [TIERS[:1], TIERS[:2], TIERS]
    made = catalogue(BAS_01=("B1",), ADV_01=("A1",), BOTH_01=("B1", "A1"), FREE_01=())
    told = {
        name: [above(clause, made, tier) for tier in TIERS] for name, clause in made.clauses.items()
    }
    assert told == {
        "BAS_01": [False, False, False],
        "ADV_01": [True, False, False],
        "BOTH_01": [False, False, False],
        "FREE_01": [False, False, False],
    }


@pytest.mark.parametrize("status", ORDER)
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("where", ["B1", "A1", "E1", ""])
def test_exit_status(status: str, tier: str, where: str) -> None:
    made = catalogue(B=("B1",), A=("A1",), E=("E1",), X=(where,) if where else ())
    statuses = {name: result(name, "pass") for name in "BAE"} | {"X": result("X", status)}
    found = judged(made, statuses, tier=tier)
    accepted = status in ("pass", "waived")
    asked = not where or {n: t for n, t, _ in CRITERIA}[where] in tiers_up_to(tier)
    decides = asked and (bool(where) or status in ("fail", "error"))
    assert found.exit_status == int(decides and not accepted), found.reasons


def test_incomplete_is_never_0_and_has_no_level() -> None:
    made = catalogue(B=("B1",), A=("A1",), E=("E1",))
    statuses = {name: result(name, "pass") for name in "BAE"}
    assert judged(made, statuses).level == "expert"
    found = judged(made, statuses, complete=False)
    assert (found.exit_status, found.level) == (1, "none")


def test_points_are_added_exactly() -> None:
    made = catalogue(B=("B1",))
    made.criteria = {f"B{n}": Criterion(f"B{n}", "basic", "", 0.1) for n in range(10)}
    made.clauses["B"] = Clause("B", "setup", "", "MUST", "", "", criteria=tuple(made.criteria))
    assert judged(made, {"B": result("B", "pass")}).points == 1.0


def test_within_a_scope() -> None:
    made = catalogue(B=("B1",), A=("A1",), E=("E1",))
    made.clauses["OUT"] = Clause("OUT", "metrics", "", "MUST", "", "", criteria=("B1",))
    statuses = {name: result(name, "pass") for name in "BAE"} | {"OUT": result("OUT", "fail")}
    found = judged(made, statuses, scope=("setup",))
    assert (found.exit_status, found.level) == (0, "none")
    assert judged(made, statuses, scope=("metrics",)).exit_status == 1
    assert judged(made, statuses, scope=("latency",)).exit_status == 1  # nothing passed in it
    hole = statuses | {"B": result("B", "not_assessed", "blocked")}
    assert judged(made, hole, scope=("setup",)).exit_status == 1
    apart = statuses | {"B": result("B", "not_assessed", "not_applicable")}
    assert judged(made, apart, scope=("setup",)).exit_status == 0


def test_outcomes_of_one_clause() -> None:
    told = combine("X", [
        Outcome("X", "a", Status.PASS, duration_s=1.0, measurements=[{"name": "m"}]),
        Outcome("X", "b", Status.FAIL, reason="it fails", duration_s=2.0, model="mlp"),
        Outcome("X", "b", Status.FAIL, reason="it fails"),
        Outcome("X", "c", Status.NOT_ASSESSED, "blocked", "no server"),
    ])  # fmt: skip
    assert told.status is Status.FAIL
    assert told.reason == "it fails"
    assert told.reason_code is None
    assert told.duration_s == 3.0
    assert told.nodeids == ["a", "b", "c"]
    assert told.model == "mlp"
    assert told.measurements == [{"name": "m"}]


def test_outcomes_travel_as_json() -> None:
    import json

    outcome = Outcome("X", "a", Status.FAIL, None, "r", 1.5, "m", [{"name": "x"}])
    assert Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome
