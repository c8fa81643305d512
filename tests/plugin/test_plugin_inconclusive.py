"""What could not be told, in a team's own tests: never passed, never skipped."""

from __future__ import annotations

import pytest

RUN = """
import numpy as np
import pytest
from pytest_triton.load.result import LoadResult

def run():
    at = np.linspace(0.01, 0.99, 50)
    return LoadResult(
        requests=50, errors=0, wrong=0, checked=5, duration_s=1.0, throughput_rps=50.0,
        latency_us=np.full(50, 5e3), ended_s=at, started=0.0, finished=1.0, concurrency=1,
    )
"""
TEAM = (
    RUN
    + """
def test_it():
    run().require(p95_ms=6)

def test_right():
    run().require(error_rate=0)
"""
)
IN_A_FIXTURE = (
    RUN
    + """
@pytest.fixture
def judged():
    run().require(p95_ms=6)

def test_it(judged): pass
"""
)
WITH_A_CLAUSE = (
    RUN
    + """
@pytest.mark.clause("TEAM-01")
def test_it():
    run().require(p95_ms=6)
"""
)
CATALOGUE = """
from pathlib import Path
def pytest_triton_catalogue(catalogue, config):
    catalogue.add_file(Path(__file__).with_name("team.toml"))
"""
CLAUSES = """
[[criterion]]
id = "T1"
tier = "basic"
title = "the team's own"
points = 0

[[clause]]
id = "TEAM-01"
area = "latency"
criteria = ["T1"]
title = "is fast"
must = "Answers MUST be fast."
source = "the team"
hint = "Look at the model."
"""


def ini(project, value: str) -> None:
    project.write("pyproject.toml", f'[tool.pytest]\ntriton_inconclusive = "{value}"\n')


@pytest.mark.parametrize("workers", [(), ("-n1",)])
def test_it_fails_unless_said_otherwise(project, workers: tuple[str, ...]) -> None:
    if workers:
        pytest.importorskip("xdist")
    project.write("test_team.py", TEAM)
    result = project.run(*workers, subprocess=bool(workers))
    assert result.outcomes == {"passed": 1, "failed": 1}, result.output
    assert result.status == 1
    assert "p95 is 5 ms, the budget 6 ms" in result.output
    assert "measure longer" in result.output


@pytest.mark.parametrize("workers", [(), ("-n1",)])
def test_it_is_expected_to_fail_where_that_is_said(project, workers: tuple[str, ...]) -> None:
    if workers:
        pytest.importorskip("xdist")
    ini(project, "xfail")
    project.write("test_team.py", TEAM)
    result = project.run(*workers, "-rx", subprocess=bool(workers))
    assert result.outcomes == {"passed": 1, "xfailed": 1}, result.output
    assert "inconclusive: p95 is 5 ms" in result.output
    ini(project, "fail")
    strict = project.run(*workers, subprocess=bool(workers))
    assert strict.outcomes == {"passed": 1, "failed": 1}


def test_in_a_fixture(project) -> None:
    project.write("test_team.py", IN_A_FIXTURE)
    assert project.run().outcomes == {"errors": 1}
    ini(project, "xfail")
    assert project.run().outcomes == {"xfailed": 1}


def test_a_test_that_names_a_clause_and_stands_for_itself(project) -> None:
    project.write("test_team.py", WITH_A_CLAUSE)
    project.write("conftest.py", CATALOGUE)
    project.write("team.toml", CLAUSES)
    result = project.run()
    assert result.outcomes == {"failed": 1}, result.output
    ini(project, "xfail")
    assert project.run().outcomes == {"xfailed": 1}


def test_another_word_is_refused(project) -> None:
    ini(project, "skip")
    project.write("test_team.py", TEAM)
    result = project.run()
    assert result.status == 4
    assert "triton_inconclusive: 'skip' is none of fail, xfail" in result.output


def test_a_broken_budget_is_no_doubt(project) -> None:
    ini(project, "xfail")
    project.write("test_team.py", RUN + "\ndef test_it():\n    run().require(p50_ms=0.06)\n")
    late = project.run()
    assert late.outcomes == {"xfailed": 1}, late.output  # a second says nothing
    project.write("test_team.py", RUN + "\ndef test_it():\n    run().require(throughput_rps=0)\n")
    assert project.run().outcomes == {"failed": 1}
