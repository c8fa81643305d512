"""A report graded again: ours gives what the run gave; a rubric, marks and late days change it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result

from pytest_triton.cli import cli
from pytest_triton.criteria import Reason, Status, load
from pytest_triton.errors import Misused
from pytest_triton.grade import marks as overlay
from pytest_triton.grade import rescoring
from pytest_triton.grade.rubric import SCHEMA, Partial, printed, read, thousandths

GAIN = """
id = "spring"
version = "2"
[[criterion]]
id = "A1"
tier = "basic"
title = "batching"
points = 7.5
clauses = ["BAT-01", "BAT-03"]
partial = { clause = "BAT-03", measurement = "gain", steps = [[1.0, 0], [1.3, 0.5], [1.5, 1]] }
[[criterion]]
id = "Q1"
tier = "basic"
title = "the written part"
points = 2.5
clauses = []
"""


def rescored(
    report: dict[str, Any], tmp_path: Path, rubric: str, marks: str = ""
) -> dict[str, Any]:
    file = tmp_path / "rubric.toml"
    file.write_text(rubric)
    asked = read(file, [clause["id"] for clause in report["clauses"]])
    given = overlay.Marks()
    if marks:
        (tmp_path / "marks.toml").write_text(marks)
        given = overlay.read(tmp_path / "marks.toml", asked)
    found = rescoring.scored(report, asked, given)
    return rescoring.to_json(report, "0" * 64, asked, given, found)


def test_our_rubric_gives_what_the_run_gave(rich: Any, tmp_path: Path) -> None:
    report = rich.report()
    score = rescored(report, tmp_path, printed(load()))
    keys = ("id", "status", "points", "max_points", "clauses")
    assert [{key: one[key] for key in keys} for one in score["criteria"]] == [
        {key: one[key] for key in keys} for one in report["criteria"]
    ]
    for key in ("level", "points", "max_points"):
        assert score[key] == report["verdict"][key]


@pytest.mark.parametrize(
    ("gain", "status", "points"),
    [(0.9, "fail", 0), (1.15, "partial", 1.875), (1.3, "partial", 3.75), (1.45, "partial", 6.563),
     (1.6, "pass", 7.5)],
)  # fmt: skip
def test_partial_credit_by_a_number(
    made: Any, tmp_path: Path, gain: float, status: str, points: float
) -> None:
    made.pass_all()
    evidence = made.evidence("BAT-03")
    evidence.measure("gain", gain, "×")
    made.replace("BAT-03", Status.FAIL, "too little", evidence=evidence)
    one = rescored(made.report(), tmp_path, GAIN)["criteria"][0]
    assert (one["status"], one["points"]) == (status, points)


def test_partial_credit_needs_everything_else(made: Any, tmp_path: Path) -> None:
    made.pass_all()
    evidence = made.evidence("BAT-03")
    evidence.measure("gain", 1.4, "×")
    made.replace("BAT-03", Status.FAIL, "too little", evidence=evidence)
    made.replace("BAT-01", Status.FAIL, "no dynamic_batching")
    assert rescored(made.report(), tmp_path, GAIN)["criteria"][0]["points"] == 0
    made.replace("BAT-01")
    made.replace("BAT-03", Status.INCONCLUSIVE, "too noisy", evidence=evidence)
    one = rescored(made.report(), tmp_path, GAIN)["criteria"][0]
    assert (one["status"], one["points"]) == ("inconclusive", 0)  # never lucky
    made.replace("BAT-03", Status.FAIL, "no number")
    assert rescored(made.report(), tmp_path, GAIN)["criteria"][0]["points"] == 0


def test_marks_and_late_days(made: Any, tmp_path: Path) -> None:
    made.pass_all()
    report = made.report()
    plain = rescored(report, tmp_path, GAIN)
    assert plain["criteria"][1]["status"] == "manual"
    assert (plain["points"], plain["level"]) == (7.5, "none")
    mark = '[[mark]]\ncriterion = "Q1"\npoints = 2.5\nby = "R. Chen"\nreason = "complete"\n'
    marked = rescored(report, tmp_path, GAIN, mark)
    assert (marked["points"], marked["level"]) == (10, "basic")
    assert marked["criteria"][1]["marked_by"] == "R. Chen"
    late = rescored(report, tmp_path, GAIN, f"{mark}[late]\ndays = 3\npercent = 10\n")
    assert (late["points"], late["points_before_late"]) == (7, 10)
    gone = rescored(report, tmp_path, GAIN, f"{mark}[late]\ndays = 30\npercent = 10\n")
    assert gone["points"] == 0
    assert report == made.report()  # nothing of it was changed


def test_sums_have_no_rounding(made: Any, tmp_path: Path) -> None:
    made.pass_all()
    tenths = "\n".join(
        f'[[criterion]]\nid = "C{at}"\ntier = "basic"\ntitle = "t"\npoints = 0.1\n'
        'clauses = ["SET-01"]' for at in range(3)
    )  # fmt: skip
    assert rescored(made.report(), tmp_path, f'id = "r"\n{tenths}')["points"] == 0.3


def test_an_incomplete_run_has_no_level(rich: Any, tmp_path: Path) -> None:
    assert rescored(rich.report(complete=False), tmp_path, printed(load()))["level"] == "none"


def test_a_clause_that_does_not_apply_stays_out(made: Any, tmp_path: Path) -> None:
    made.pass_all()
    made.replace("BAT-03", Status.NOT_ASSESSED, "no model", code=Reason.NOT_APPLICABLE)
    assert rescored(made.report(), tmp_path, GAIN)["criteria"][0]["points"] == 7.5


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"BAT-01"', '"BAT-99"', "BAT-99"),
        ("points = 7.5", "points = -1", "minimum"),
        ("points = 7.5", "points = 7.00001", "finer than thousandths"),
        ("points = 7.5", 'points = "7"', "points"),
        ('tier = "basic"', 'tier = "easy"', "tier"),
        ("[1.3, 0.5]", "[0.9, 0.5]", "do not ascend"),
        ("[1.5, 1]", "[1.5, 2]", "maximum"),
        ('clause = "BAT-03"', 'clause = "BAT-02"', "none of its clauses"),
        ('id = "Q1"', 'id = "A1"', "comes twice"),
        ('version = "2"', 'year = "2"', "year"),
        ("[[criterion]]", "[[criterion", "rubric.toml"),
    ],
)
def test_a_rubric_that_cannot_be_meant(
    rich: Any, tmp_path: Path, old: str, new: str, told: str
) -> None:
    with pytest.raises(Misused, match=told):
        rescored(rich.report(), tmp_path, GAIN.replace(old, new, 1))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[mark]]\ncriterion = "Q1"\npoints = 3\nby = "x"\nreason = "y"', "between 0 and"),
        ('[[mark]]\ncriterion = "Q1"\npoints = -1\nby = "x"\nreason = "y"', "between 0 and"),
        ('[[mark]]\ncriterion = "Q1"\npoints = 1\nby = " "\nreason = "y"', "who gave it"),
        ('[[mark]]\ncriterion = "Q1"\npoints = 1\nby = "x"', "has criterion, points"),
        ('[[mark]]\ncriterion = "Z9"\npoints = 1\nby = "x"\nreason = "y"', "no such criterion"),
        ("[late]\ndays = -1\npercent = 5", "late.days"),
        ("[late]\ndays = 1", "late has days"),
        ("bonus = 5", "bonus"),
    ],
)
def test_marks_that_cannot_be_meant(rich: Any, tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(Misused, match=told):
        rescored(rich.report(), tmp_path, GAIN, text)


def test_steps_are_linear_between() -> None:
    one, two = Fraction(1), Fraction(2)
    partial = Partial("BAT-03", "gain", ((one, Fraction(0)), (two, one)))
    assert [partial.share(value) for value in (0.5, 1.0, 1.25, 2.0, 9.0)] == [0, 0, 0.25, 1, 1]
    assert thousandths(0.1, "x") == 100


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["rescore", *arguments])


def test_the_command(rich: Any, tmp_path: Path) -> None:
    rich.report()
    before = (rich.directory / "report.json").read_bytes()
    rubric = tmp_path / "rubric.toml"
    rubric.write_text(_run("--print").output)
    done = _run(str(rich.directory), "--rubric", str(rubric))
    assert done.exit_code == 0, done.output
    score = json.loads((rich.directory / "score.json").read_text())
    assert score["points"] == json.loads(before)["verdict"]["points"]
    assert "rubric triton-lab 1" in done.output
    assert (rich.directory / "report.json").read_bytes() == before
    assert _run(str(rich.directory), "--rubric", str(rubric), "--level", "expert").exit_code == 10
    assert (
        json.loads(_run(str(rich.directory), "--rubric", str(rubric), "--out", "-").output) == score
    )
    assert _run(str(rich.directory)).exit_code != 0
    jsonschema.Draft202012Validator.check_schema(json.loads(_run("--schema").output))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
