"""What a comparison calls worse, and what it does not."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import jsonschema
import numpy as np
import pytest
from simulated import clause, report, run

from pytest_triton.baseline.compare import Comparison, compare
from pytest_triton.baseline.directions import direction, table
from pytest_triton.baseline.loaded import Loaded
from pytest_triton.baseline.numbers import FOREIGN
from pytest_triton.reports import render
from pytest_triton.series import Series


def loaded(clauses: list[dict[str, Any]], **machine: Any) -> Loaded:
    return Loaded(report(clauses, **machine), "r")


def of_status(old: str, new: str, **more: Any) -> Comparison:
    """One clause that went from ``old`` to ``new``; ``status/code`` gives a reason code."""

    def entry(said: str) -> dict[str, Any]:
        status, _, code = said.partition("/")
        return clause("HLT-01", [], status=status, reason_code=code or None, reason="why")

    return compare(loaded([entry(old)]), loaded([entry(new)]), **more)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("pass", "fail", "worse"), ("pass", "error", "worse"), ("pass", "waived", "worse"),
        ("pass", "missing", "worse"), ("pass", "not_assessed/blocked", "worse"),
        ("inconclusive", "pass", "not judged"), ("pass", "inconclusive", "not judged"),
        ("fail", "pass", "better"), ("not_assessed/blocked", "pass", "better"),
        ("fail", "error", "not judged"), ("pass", "not_assessed/not_applicable", "not judged"),
    ],
)  # fmt: skip
def test_a_clause_that_changed(old: str, new: str, word: str) -> None:
    found = of_status(old, new)
    assert [change.word for change in found.clauses] == [word]
    assert found.exit_status == (1 if word == "worse" else 0)
    assert bool(found.worse) == (word == "worse")


@pytest.mark.parametrize(
    "code", ["deselected", "not_run", "needs_load", "needs_control", "neighbours", "no_endpoint"]
)
def test_what_the_run_was_not_asked_for_is_set_aside(code: str) -> None:
    for old, new in (("pass", f"not_assessed/{code}"), (f"not_assessed/{code}", "fail")):
        found = of_status(old, new)
        assert (found.clauses, found.aside, found.exit_status) == ((), 1, 0)


def test_wording_alone_is_told_and_is_not_worse() -> None:
    old, new = (loaded([clause("A-01", [], status="fail", reason=why)]) for why in ("a", "b"))
    found = compare(old, new)
    assert [change.word for change in found.clauses] == ["wording"]
    assert (found.verdict, found.exit_status) == ("changed", 0)


def test_clauses_that_appeared_and_vanished() -> None:
    found = compare(
        loaded([clause("A-01", []), clause("A-02", [])]),
        loaded([clause("A-02", []), clause("A-03", [], status="fail")]),
    )
    assert [item.id for item in found.appeared] == ["A-03"]
    assert [item.id for item in found.vanished] == ["A-01"]
    assert found.exit_status == 0


def test_the_same_report_has_no_difference() -> None:
    one = run(np.random.default_rng(1))
    found = compare(one, one)
    assert (found.verdict, found.exit_status) == ("no difference", 0)
    assert {number.word for number in found.numbers} == {"no difference shown"}


MACHINES: dict[str, dict[str, Any]] = {
    "processor": {"cpu": {"model": "another", "count": 2}},
    "processors usable": {"cpu": {"model": "cpu", "count": 8}},
    "GPUs": {"gpus": [{"name": "H200"}]},
    "server": {"server": {"name": "triton", "version": "2.48.0", "extensions": []}},
}


@pytest.mark.parametrize("name", MACHINES)
def test_numbers_of_different_machines_are_not_judged(name: str) -> None:
    rng = np.random.default_rng(2)
    old, new = run(rng), run(rng, slower=3)
    other = copy.deepcopy(dict(new.report))
    other["environment"] |= MACHINES[name]
    found = compare(old, replace(new, report=other))
    assert [item.name for item in found.decisive] == [name]
    assert {number.word for number in found.numbers} == {"not comparable"}
    assert found.exit_status == 0
    assert compare(old, new).exit_status == 1
    other["clauses"][0]["status"] = "fail"
    assert compare(old, replace(new, report=other)).exit_status == 1, "statuses still count"


def test_packages_and_repositories_that_differ_are_told_and_compared() -> None:
    rng = np.random.default_rng(3)
    old, new = run(rng), run(rng, slower=2)
    other = copy.deepcopy(dict(new.report))
    other["environment"]["packages"] = {"torch": "2.9"}
    other["subject"]["repository_sha256"] = "0" * 64
    found = compare(old, replace(new, report=other))
    assert [item.name for item in found.settings] == ["repository SHA-256", "torch"]
    assert found.exit_status == 1


def number(name: str, unit: str, value: float | None, **more: Any) -> dict[str, Any]:
    return {"name": name, "unit": unit, "value": value, **more}


def word(old: dict[str, Any], new: dict[str, Any], *foreign: float) -> str:
    """What one number is called; ``foreign``: cores that others used in both runs."""
    entries = [[old], [new]]
    for entry, cores in zip(entries, foreign, strict=False):
        entry.append(number(FOREIGN, "cores", cores))
    sides = [loaded([clause("LAT-01", entry)]) for entry in entries]
    return compare(*sides).numbers[0].word


def test_direction_is_declared() -> None:
    tight = {"interval": [9.9, 10.1]}, {"interval": [19.8, 20.2]}
    for unit, up in (("ms", "worse"), ("requests/s", "better"), ("widgets", "changed")):
        old, new = number("n", unit, 10, **tight[0]), number("n", unit, 20, **tight[1])
        assert word(old, new) == up
        assert word(new, old) == {"worse": "better", "better": "worse"}.get(up, up)
    assert word(number("n", "widgets", 10, **tight[0]),
                number("n", "widgets", 20, better="lower", **tight[1])) == "worse"  # fmt: skip
    assert word(number("n", "ms", 10, **tight[0]),
                number("n", "ms", 20, better="none", **tight[1])) == "changed"  # fmt: skip
    assert set(table()["units"].values()) == {"lower", "higher"}
    assert direction("LAT-01", number("p50", "ms", 1)) == "lower"


def test_intervals_have_to_lie_apart() -> None:
    assert (
        word(number("n", "ms", 10, interval=[9, 11]), number("n", "ms", 12, interval=[10.8, 13]))
        != "worse"
    )
    assert (
        word(number("n", "ms", 10, interval=[9.8, 10.2]), number("n", "ms", 16, interval=[15, 17]))
        == "worse"
    )


def test_a_sure_but_small_difference_is_none() -> None:
    old = number("n", "ms", 100, interval=[99.9, 100.1])
    new = number("n", "ms", 108, interval=[107.9, 108.1])
    assert word(old, new) == "no difference shown"


def test_what_cannot_be_told() -> None:
    assert word(number("n", "ms", 10), number("n", "ms", 90)) == "cannot tell"
    assert word(number("n", "ms", None), number("n", "ms", 90)) == "cannot tell"
    assert (
        word(number("n", "ms", 1, interval=[0.1, 9]), number("n", "ms", 9, interval=[1, 80]))
        == "cannot tell"
    )
    assert word(number("n", "ms", 10), number("n", "s", 10)) == "not comparable"
    assert word(number("n", "ms", 10), number("n", "ms", 10)) == "no difference shown"


def test_what_others_did_to_the_machine_is_not_held_against_the_server() -> None:
    old, new = number("n", "ms", 10, interval=[9.8, 10.2]), number("n", "ms", 20, interval=[19, 21])
    assert word(old, new, 0.01, 0.9) == "cannot tell"
    assert word(old, new, 0.9, 0.01) == "cannot tell"
    assert word(new, old, 0.9, 0.01) == "cannot tell"
    assert word(old, new, 0.01, 0.05) == "worse"
    assert word(new, old, 0.01, 0.05) == "better"


def test_numbers_around_zero_are_compared_without_ratios() -> None:
    def grown(mean: float, spread: float) -> Loaded:
        steps = [mean + spread * (-1) ** at for at in range(20)]
        entry = number("growth", "B", mean, budget=1000.0)
        return Loaded(report([clause("MEM-01", [entry])]), "r", "", {(0, 0): Series(tuple(steps))})

    assert compare(grown(0, 50), grown(20, 50)).numbers[0].word == "no difference shown"
    found = compare(grown(0, 50), grown(5000, 50)).numbers[0]
    assert (found.word, found.ratio) == ("worse", None)


def test_the_same_name_for_two_models_is_two_numbers() -> None:
    def one(model: str, value: float) -> dict[str, Any]:
        return clause("LAT-01", [number("p50", "ms", value, interval=[value, value])], model=model)

    found = compare(loaded([one("a", 10)]), loaded([one("b", 30)]))
    assert found.numbers == ()
    assert [item.model for item in found.new_numbers] == ["b"]
    assert [item.model for item in found.lost_numbers] == ["a"]


def test_machine_readable_form_fits_the_schema() -> None:
    rng = np.random.default_rng(5)
    made = compare(run(rng), run(rng, slower=2)).to_json()
    schema = json.loads(render.SCHEMA.read_text("utf-8"))
    wanted = {"$defs": schema["$defs"], "$ref": "#/$defs/comparison"}
    jsonschema.Draft202012Validator(wanted).validate(json.loads(json.dumps(made)))
    assert made["verdict"] == "worse"
