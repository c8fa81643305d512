"""The two documented hooks: a catalogue of one's own, and a report that says more."""

from __future__ import annotations

import pytest

TEAM = """
[[criterion]]
id = "T1"
tier = "basic"
title = "the team's own"
points = 0

[[clause]]
id = "TEAM-01"
area = "accuracy"
criteria = ["T1"]
title = "answers in French"
must = "Answers MUST be in French."
source = "the team"
hint = "Look at the tokenizer."
"""
ADD = """
from pathlib import Path
def pytest_triton_catalogue(catalogue, config):
    catalogue.add_file(Path(__file__).with_name("team.toml"))
"""


def own(project, code: str = "assert True") -> None:
    project.suite(conftest=ADD)
    project.write("team.toml", TEAM)
    project.write(
        "test_team.py",
        f"import pytest\n@pytest.mark.clause('TEAM-01')\ndef test_french():\n    {code}\n",
    )


def test_a_clause_of_ones_own_is_judged_like_ours(project) -> None:
    own(project)
    result = project.run()
    assert result.status == 0, result.output
    assert result.clause("TEAM-01")["status"] == "pass"
    assert result.criterion("T1") == "pass"
    own(project, "assert 'yes' == 'oui'")
    failed = project.run()
    assert failed.status == 1
    assert failed.criterion("T1") == "fail"
    assert failed.verdict["level"] == "none"


def test_left_out_it_is_missed(project) -> None:
    own(project)
    result = project.run("suite")
    assert result.status == 1
    assert result.clause("TEAM-01")["reason_code"] == "deselected"


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('id = "TEAM-01"', 'id = "HLT-05"', "clause HLT-05 exists already"),
        ('id = "T1"', 'id = "B1"', "criterion B1 exists already"),
        ('["T1"]', '["T9"]', "names no criterion 'T9'"),
        ("MUST", "should", "a sentence with MUST"),
        ('"accuracy"', '"speed"', "area 'speed' is unknown"),
        ('hint = "Look at the tokenizer."', "", "lacks hint"),
        ("hint =", "colour =", "lacks hint"),
        ("[[clause]]", "[[clause", "team.toml"),
    ],
)
def test_a_catalogue_that_contradicts_itself(project, old: str, new: str, text: str) -> None:
    own(project)
    project.write("team.toml", TEAM.replace(old, new))
    result = project.run()
    assert result.status == 4
    assert text in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "code",
    [
        'del catalogue.clauses["HLT-05"]',
        "catalogue.clauses.clear()",
        'catalogue.criteria.pop("B1")',
        'catalogue.clauses["HLT-05"] = dataclasses.replace(catalogue.clauses["HLT-05"], criteria=())',
        'catalogue.criteria["B1"] = dataclasses.replace(catalogue.criteria["B1"], tier="expert")',
    ],
)
def test_ours_cannot_be_taken_out_or_changed(project, code: str) -> None:
    project.suite(
        {"HLT-05": "fail"},
        conftest=f"""
import dataclasses
def pytest_triton_catalogue(catalogue, config):
    {code}
""",
    )
    result = project.run("suite")
    assert result.status == 4
    assert "pytest_triton_catalogue changed" in result.output


def test_the_report_can_say_more_and_not_judge(project) -> None:
    project.suite(
        {"HLT-05": "fail"},
        conftest="""
def pytest_triton_update_report(report, config):
    report["run"]["commit"] = "abc"
    report["verdict"]["exit_status"] = 0
    report["verdict"]["level"] = "expert"
    report["complete"] = False
    for clause in report["clauses"]:
        clause["status"] = "pass"
    report["criteria"] = []
    del report["schema_version"]
""",
    )
    result = project.run("suite")
    assert result.status == 1
    assert result.report["run"]["commit"] == "abc"
    assert result.verdict["exit_status"] == 1
    assert result.verdict["level"] == "none"
    assert result.report["complete"]
    assert result.clause("HLT-05")["status"] == "fail"
    assert result.criterion("B4") == "fail" or result.criterion("B3") == "fail"
    assert result.report["schema_version"]


def test_a_hook_that_breaks_loses_no_report(project) -> None:
    project.suite(
        conftest="""
def pytest_triton_update_report(report, config):
    raise LookupError("no commit here")
"""
    )
    result = project.run("suite")
    assert result.status == 1
    assert "no commit here" in result.output
    assert result.clause("HLT-05")["status"] == "pass"
