"""``--triton-baseline``: a regression fails the run, noise and other machines do not."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

MEASURING = """
import random, pytest

@pytest.fixture(autouse=True)
def measured(request):
    marker = request.node.get_closest_marker("clause")
    if marker and marker.args[0] == "LAT-01":
        from pytest_triton.gate import enter
        rng = random.Random(SEED)
        enter(request).latency([SLOWER * (10 + rng.gauss(0, 1)) for _ in range(1000)])
"""
RUN = ("suite", "-q", "--triton-scope", "latency,protocol")


@pytest.fixture
def measuring(project: Any) -> Any:
    """Runs the tiny suite with latencies of a seed; returns the result."""

    def run(*words: str, seed: int = 1, slower: float = 1.0, behaviour: Any = None, **more: Any):
        source = MEASURING.replace("SEED", str(seed)).replace("SLOWER", str(slower))
        project.suite(behaviour, conftest=source)
        return project.run(*RUN, *words, **more)

    run.project = project
    return run


@pytest.fixture
def baseline(measuring: Any) -> Any:
    """The file of a run that passed, with its evidence."""
    result = measuring()
    assert result.status == 0, result.output
    shutil.copytree(measuring.project.path / "triton-report", measuring.project.path / "old")
    return measuring.project.path / "old" / "report.json"


def test_a_run_that_is_no_worse(measuring: Any, baseline: Any) -> None:
    result = measuring("--triton-baseline", str(baseline), seed=2)
    assert result.status == 0, result.output
    assert result.report["baseline"]["verdict"] == "no difference"
    assert result.report["baseline"]["baseline"]["file"] == str(baseline)
    assert "baseline  nothing is worse than in the run of" in result.output


def test_a_slower_run_fails(measuring: Any, baseline: Any) -> None:
    result = measuring("--triton-baseline", str(baseline), seed=2, slower=1.25)
    assert result.status == 1, result.output
    assert result.clause("LAT-01")["status"] == "pass", "the clause itself is kept"
    assert result.verdict["exit_status"] == 1
    (first, *_) = result.verdict["reasons"]
    assert first.startswith("worse than the baseline: LAT-01 p50: 9.99 ms, now 12.5 ms")
    assert "baseline  worse than the run of" in result.output
    assert result.report["baseline"]["verdict"] == "worse"


def test_a_clause_that_broke_is_named_beside_the_baseline(measuring: Any, baseline: Any) -> None:
    result = measuring("--triton-baseline", str(baseline), behaviour={"ERR-01": "fail"})
    assert result.status == 1
    assert "worse than the baseline: ERR-01: pass, now fail" in result.verdict["reasons"]


def test_another_machine_is_a_note(measuring: Any, baseline: Any) -> None:
    old = json.loads(baseline.read_text("utf-8"))
    old["environment"]["cpu"]["count"] += 2
    baseline.write_text(json.dumps(old), "utf-8")
    result = measuring("--triton-baseline", str(baseline), slower=3)
    assert result.status == 0, result.output
    assert result.report["baseline"]["comparable"] is False
    assert any("another class of machine" in note for note in result.report["notes"])


def test_the_report_that_the_run_replaces_can_be_its_baseline(measuring: Any) -> None:
    project = measuring.project
    directory = project.path / "here"
    assert measuring("--triton-report", str(directory)).status == 0
    again = ("--triton-report", str(directory), "--triton-baseline", str(directory / "report.json"))
    assert measuring(*again, slower=1.5).status == 1
    report = json.loads((directory / "report.json").read_text("utf-8"))
    assert report["baseline"]["verdict"] == "worse"
    assert "samples" in report["baseline"]["numbers"][0]["why"], "its old samples were kept"


def test_an_incomplete_run_is_not_compared(measuring: Any, baseline: Any) -> None:
    result = measuring("--triton-baseline", str(baseline), "-k", "LAT-01", slower=3)
    assert result.status == 1
    assert "baseline" not in result.report
    assert any("not compared, this run did not end" in note for note in result.report["notes"])


def _newer(text: str) -> str:
    return json.dumps(json.loads(text) | {"schema_version": "3.0"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "{}", "is a required property"),
        (lambda text: text[:100], "no JSON"),
        (_newer, "version 3.0 of the schema"),
    ],
)
def test_a_baseline_that_cannot_be_read_is_a_usage_error_before_anything_boots(
    measuring: Any, baseline: Any, change: Any, words: str
) -> None:
    baseline.write_text(change(baseline.read_text("utf-8")), "utf-8")
    result = measuring("--triton-baseline", str(baseline))
    assert result.status == 4
    assert words in result.output
    assert result.outcomes.get("passed", 0) == 0
    assert result.report is None
    result = measuring("--triton-baseline", "nowhere.json")
    assert result.status == 4
    assert "there is no file" in result.output


def test_with_xdist_the_controller_compares(measuring: Any, baseline: Any) -> None:
    result = measuring("-n", "2", "--triton-baseline", str(baseline), subprocess=True,
                       behaviour={"ERR-01": "fail"})  # fmt: skip
    assert result.status == 1
    assert result.report["baseline"]["verdict"] == "worse"
    baseline.write_text("{}", "utf-8")
    result = measuring("-n", "2", "--triton-baseline", str(baseline), subprocess=True)
    assert result.status != 0
    assert "is a required property" in result.output
    assert result.report is None
