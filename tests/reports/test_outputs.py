"""Every output is what its readers ask for, says what report.json says, and is safe to read."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from click.testing import CliRunner
from published_formats import PUBLISHED

from pytest_triton.cli import cli
from pytest_triton.criteria import Reason, Status
from pytest_triton.reports.outputs import FORMATS

#: Texts that would be something else where somebody does not look.
HOSTILE = (
    "=cmd|' /C calc'!A0", "@SUM(1+1)", "::error file=x::forged", "##[error]forged",
    "<script>alert(1)</script>", "](javascript:alert(1))", "| a | b |", "]]> & <x/>",
    "\x1b[31mred", "NUL \x00", "\ud800", "\ufffe", "line\r\n::set-output name=x::y", "`code`",
)  # fmt: skip


def outputs(report: dict[str, Any], user: str = "s1047") -> dict[str, str]:
    return {name: one.text(report, user) for name, one in FORMATS.items()}


def check(made: dict[str, str]) -> None:
    for name, schema in PUBLISHED.items():
        validator = jsonschema.Draft202012Validator(
            schema, format_checker=jsonschema.FormatChecker()
        )
        validator.validate(json.loads(made[name]))
    for text in made.values():
        text.encode("utf-8")
    root = ET.fromstring(made["junit"])
    assert root.tag == "testsuites"
    for suite in root:
        cases = suite.findall("testcase")
        assert int(suite.get("tests", "")) == len(cases)
        for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(key, "")) == sum(case.find(tag) is not None for case in cases)
        for case in cases:
            assert case.get("name")
            assert case.get("classname")
            assert float(case.get("time", "")) >= 0


def test_a_rich_report(rich: Any) -> None:
    rich.replace("HLT-03")  # an error of ours, of which there would be no score
    report = rich.report()
    made = outputs(report)
    check(made)
    verdict = report["verdict"]
    gradescope, lti = json.loads(made["gradescope"]), json.loads(made["lti"])
    assert gradescope["score"] == verdict["points"]
    assert sum(test["score"] for test in gradescope["tests"]) == verdict["points"]
    assert [test["number"] for test in gradescope["tests"]][:5] == [
        "1.1",
        "1.2",
        "1.3",
        "1.4",
        "2.1",
    ]
    classroom = json.loads(made["classroom"])
    assert sum(test["score"] for test in classroom["tests"]) == verdict["points"]
    assert classroom["max_score"] == verdict["max_points"] == 100
    ctrf = json.loads(made["ctrf"])["results"]
    assert len(ctrf["tests"]) == len(report["clauses"])
    counts = ctrf["summary"]
    assert counts["tests"] == sum(
        counts[key] for key in ("passed", "failed", "skipped", "pending", "other")
    )
    assert counts["stop"] - counts["start"] == counts["duration"] == 82_000
    root = ET.fromstring(made["junit"])
    names = [case.get("name", "").split()[0] for case in root.iter("testcase")]
    assert sorted(names) == sorted(clause["id"] for clause in report["clauses"])
    assert lti["userId"] == "s1047"
    (_, row) = csv.reader(io.StringIO(made["gradebook"]))
    assert row[2] == f"{verdict['points']:g}"
    assert f"{verdict['points']:g}/100" in json.loads(made["badge"])["message"]
    for criterion in report["criteria"]:
        assert criterion["id"] in made["summary"]
        assert criterion["id"] in made["learner"]


def test_statuses_are_told_apart(made: Any) -> None:
    made.pass_all()
    made.replace("SET-01", Status.FAIL, "it never got ready")
    made.replace("HLT-01", Status.ERROR, "ours")
    made.replace("BAT-03", Status.INCONCLUSIVE, "too noisy")
    made.replace("LAT-01", Status.NOT_ASSESSED, "no GPU", code=Reason.NOT_APPLICABLE)
    made.replace("LAT-02", Status.NOT_ASSESSED, "not allowed", code=Reason.NEEDS_LOAD)
    texts = outputs(made.report())
    check(texts)
    ctrf = {test["labels"]["clause"]: test["status"]
            for test in json.loads(texts["ctrf"])["results"]["tests"]}  # fmt: skip
    assert [ctrf[name] for name in ("SET-01", "HLT-01", "BAT-03", "LAT-01", "LAT-02", "SET-02")] == [
        "failed", "failed", "other", "skipped", "pending", "passed",
    ]  # fmt: skip
    cases = {case.get("name", "").split()[0]: case for case in ET.fromstring(texts["junit"]).iter(
        "testcase")}  # fmt: skip
    assert cases["SET-01"].find("failure") is not None
    assert cases["HLT-01"].find("error") is not None
    assert cases["BAT-03"].find("failure") is not None
    assert cases["LAT-01"].find("skipped") is not None
    assert len(cases["SET-02"]) == 0
    tests = {test["name"][:2]: test for test in json.loads(texts["gradescope"])["tests"]}
    assert "status" not in tests["B1"]  # an error is ours
    assert tests["B2"]["status"] == "passed"
    assert "status" not in tests["A1"]


def not_scored(texts: dict[str, str]) -> None:
    check(texts)
    gradescope, classroom = json.loads(texts["gradescope"]), json.loads(texts["classroom"])
    # Gradescope sums up the scores of entries where the whole has none.
    assert not [entry for entry in (gradescope, *gradescope["tests"]) if "score" in entry]
    assert (classroom["status"], classroom["tests"], classroom["max_score"]) == ("error", [], 0)
    (_, row) = csv.reader(io.StringIO(texts["gradebook"]))
    assert row[1:3] == ["", ""]
    lti = json.loads(texts["lti"])
    assert lti["gradingProgress"] == "NotReady"
    assert "scoreGiven" not in lti


def test_nobody_gets_a_zero_for_an_error_of_ours(made: Any) -> None:
    made.pass_all()
    made.replace("SET-01", Status.ERROR, "ours")
    not_scored(outputs(made.report()))


def test_nobody_gets_a_zero_for_a_run_that_did_not_end(rich: Any) -> None:
    texts = outputs(rich.report(complete=False))
    not_scored(texts)
    assert json.loads(texts["badge"])["message"] == "incomplete"
    assert "nothing is counted against you" in texts["learner"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_texts(made: Any, text: str) -> None:
    made.pass_all()
    evidence = made.evidence("ACC-01")
    evidence.locate(f"model_repository/{text}/config.pbtxt".replace("\x00", ""), 3)
    made.replace("ACC-01", Status.FAIL, f"{text}: is wrong", evidence=evidence)
    report = made.report()
    for criterion in report["criteria"]:
        criterion["title"] = criterion["summary"] = text
    texts = outputs(report, user=text)
    check(texts)
    for line in texts["github"].splitlines():
        assert re.match(r"::(error|notice) ", line), line
        assert "##[" not in line
    assert len(texts["github"].splitlines()) == 2
    for row in csv.reader(io.StringIO(texts["gradebook"])):
        assert all(not cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)
    for name in ("summary", "learner"):
        assert not re.search(r"(?<!\\)<(script|x)", texts[name])
        assert not re.search(r"(?<!\\)\]\(javascript", texts[name])
        assert "\n::" not in texts[name]


def test_a_learner_sees_no_input(made: Any) -> None:
    made.pass_all()
    made.replace("ACC-01", Status.FAIL, "mlp: at [0.25, -1.5, 3.75e-2, 8] the answer is 7, not 9")
    report = made.report()
    told = outputs(report)["learner"]
    assert "at … the answer is 7, not 9" in told
    assert str(report["run"]["seed"]) not in told
    assert "evidence/" not in told


def test_annotations_are_on_the_learners_file(made: Any) -> None:
    made.pass_all()
    evidence = made.evidence("BAT-01")
    evidence.locate("model_repository/mlp/config.pbtxt", 7)
    made.replace("BAT-01", Status.FAIL, "no dynamic_batching", evidence=evidence)
    texts = outputs(made.report())
    assert (
        "::error file=model_repository/mlp/config.pbtxt,title=A1 dynamic batching,line=7::"
        in (texts["github"])
    )
    (issue,) = json.loads(texts["codequality"])
    assert issue["location"] == {
        "path": "model_repository/mlp/config.pbtxt", "lines": {"begin": 7},
    }  # fmt: skip
    assert json.loads(texts["classroom"])["tests"][4]["line_no"] == 7


def test_more_criteria_than_github_keeps(made: Any) -> None:
    for clause in made.card.catalogue.clauses.values():
        if clause.built:
            made.say(clause.id, Status.FAIL, "broken")
    lines = outputs(made.report())["github"].splitlines()
    assert sum(line.startswith("::error") for line in lines) == 10
    assert "2 more criteria are not met" in lines[-1]


def test_the_same_report_gives_the_same_bytes(rich: Any) -> None:
    report = rich.report()
    assert outputs(report) == outputs(json.loads(json.dumps(report)))


def test_the_command(rich: Any, tmp_path: Path) -> None:
    rich.report()
    source, target = str(rich.directory), tmp_path / "out"
    done = CliRunner().invoke(cli, ["render", source, "--format", "all", "--out", str(target)])
    assert done.exit_code == 0, done.output
    written = {path.name for path in target.iterdir()}
    assert written == {"report.html", *(one.file for one in FORMATS.values())} - {"lti-score.json"}
    done = CliRunner().invoke(cli, ["render", source, "--format", "lti"])
    assert done.exit_code != 0
    done = CliRunner().invoke(
        cli, ["render", source, "--format", "lti", "--user", "7", "--out", "-"]
    )
    assert json.loads(done.output)["userId"] == "7"
    done = CliRunner().invoke(cli, ["render", source, "--format", "junit"])
    assert done.exit_code == 0
    assert (rich.directory / "junit.xml").is_file()
    done = CliRunner().invoke(
        cli, ["render", source, "--format", "ctrf", "--out", "/nowhere/x.json"]
    )
    assert done.exit_code == 2
    assert "No such file" in done.output
