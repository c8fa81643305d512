"""The projects in examples/ work as their README says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="session", autouse=True)
def server_installed() -> None:
    """The default release, in the user's cache like everybody else's."""
    from pytest_triton.launch.store import install

    install()


class Example:
    """A copy of one example; what is run in it is pytest in a process of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *arguments: str, status: int = 0, **environment: str) -> str:
        env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        if cache := os.environ.get("PYTEST_TRITON_CACHE"):
            env["PYTEST_TRITON_CACHE"] = cache
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
            cwd=self.path, env={**env, **environment}, timeout=180, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert ran.returncode == status, ran.stdout
        return ran.stdout

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path / "triton-report/report.json").read_text())
        return found


@pytest.fixture
def example(tmp_path: Path, request: pytest.FixtureRequest) -> Example:
    target = tmp_path / request.param
    shutil.copytree(
        EXAMPLES / request.param, target,
        ignore=shutil.ignore_patterns("__pycache__", "triton-report", ".pytest_cache"),
    )  # fmt: skip
    return Example(target)


@pytest.mark.parametrize("example", ["team"], indirect=True)
def test_a_team_tests_its_model(example: Example) -> None:
    output = example.run()
    # A busy machine may leave the budget open; it never fails it, and nothing else.
    assert re.search(r"= (9 passed|8 passed, 1 skipped) in", output), output
    assert not (example.path / "triton-report").exists()


@pytest.mark.parametrize("example", ["team"], indirect=True)
def test_ours_judge_the_teams_model_too(example: Example) -> None:
    pytest.importorskip("xdist")
    output = example.run(
        "--pyargs", "pytest_triton.suites", ".", "-n2", "--triton-scope", "setup,accuracy"
    )
    report = example.report
    assert report["verdict"]["exit_status"] == 0, output
    assert report["subject"]["models"] == ["classifier"]
    # The side-car that the exporter wrote has the right answers of the eager module.
    statuses = {clause["id"]: clause["status"] for clause in report["clauses"]}
    assert statuses["ACC-04"] == statuses["SET-01"] == "pass"


@pytest.mark.parametrize("example", ["own_clause"], indirect=True)
class TestOwnClause:
    ARMED = ("--pyargs", "pytest_triton.suites", ".", "--triton-scope", "protocol")

    def test_it_is_judged_like_ours(self, example: Example) -> None:
        output = example.run(*self.ARMED, CI_COMMIT_SHA="abc123")
        report = example.report
        clause = next(c for c in report["clauses"] if c["id"] == "TEAM-01")
        assert clause["status"] == "pass"
        assert clause["measurements"][0]["value"] == 4
        criterion = next(c for c in report["criteria"] if c["id"] == "T1")
        assert (criterion["status"], criterion["points"]) == ("pass", 10)
        assert report["run"]["commit"] == "abc123"
        assert "our service agreement" in output

    def test_its_failure_decides(self, example: Example) -> None:
        model = example.path / "model_repository/celsius/1/model.py"
        model.write_text(model.read_text().replace("- 32", "- 30"))
        example.run(*self.ARMED, status=1)
        report = example.report
        assert "TEAM-01 fail" in report["verdict"]["reasons"]
        clause = next(c for c in report["clauses"] if c["id"] == "TEAM-01")
        assert "Mismatched elements" in clause["reason"]

    def test_alone_nothing_is_judged(self, example: Example) -> None:
        example.run(".")
        assert not (example.path / "triton-report").exists()


@pytest.mark.skipif(find_spec("locust") is None, reason="needs Locust")
@pytest.mark.parametrize("example", ["handed_in"], indirect=True)
def test_what_is_handed_in_holds(example: Example) -> None:
    example.run(
        "--pyargs", "pytest_triton.suites.test_handed_in", "--triton-models", "mlp",
        "--triton-device", "cpu", status=1, PYTEST_TRITON_HANDED_IN=".",
    )  # fmt: skip
    clauses = {clause["id"]: clause for clause in example.report["clauses"]}
    assert clauses["LDT-01"]["status"] == "pass", clauses["LDT-01"]["reason"]
    # A busy machine may leave open whether the order of its levels is the one here.
    assert clauses["BEN-01"]["status"] in ("pass", "inconclusive"), clauses["BEN-01"]["reason"]
