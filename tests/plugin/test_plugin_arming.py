"""When a run judges, and when it keeps its hands off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

TEAM = """
def test_passes(): assert True
"""
BOOTING = """
def test_boots(triton): assert False, "never reached"
"""


@pytest.fixture
def no_boot(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every attempt to get a server, which fails."""
    import pytest_triton.launch

    asked: list[Any] = []

    def launch(settings: Any, **keywords: Any) -> Any:
        asked.append(settings)
        raise AssertionError("a server was asked for")

    monkeypatch.setattr(pytest_triton.launch, "launch", launch)
    return asked


@pytest.mark.parametrize(("code", "status"), [("assert True", 0), ("assert False", 1)])
def test_a_teams_own_tests_are_their_own(project, no_boot, code: str, status: int) -> None:
    project.write("test_team.py", f"def test_it(): {code}\n")
    before = project.files()
    result = project.run()
    assert result.status == status
    assert project.files() == before
    assert not no_boot
    assert "score card" not in result.output


def test_what_a_fixture_asks_for_is_booted_unarmed(project, no_boot) -> None:
    project.write("test_team.py", BOOTING)
    before = project.files()
    assert project.run().status == 1
    assert len(no_boot) == 1
    assert project.files() == before


def test_a_clause_of_a_team_does_not_arm(project, no_boot) -> None:
    project.write(
        "test_team.py",
        """
import pytest
@pytest.mark.clause("CRS-01")
def test_it(): assert False
""",
    )
    project.write("conftest.py", "")
    before = project.files()
    result = project.run()
    # Not built: the gate says so before the test can fail.
    assert result.status == 0
    assert result.outcomes == {"skipped": 1}
    assert project.files() == before


@pytest.mark.parametrize(
    "option", ["--collect-only", "--co", "--fixtures", "--fixtures-per-test", "--markers", "--help"]
)
@pytest.mark.parametrize("target", [("suite",), ("--pyargs", "pytest_triton.suites")])
def test_listing_is_not_judging(project, no_boot, option: str, target: tuple[str, ...]) -> None:
    project.suite()
    before = project.files()
    result = project.run(option, *target)
    assert result.status == 0, result.output
    assert project.files() == before
    assert not no_boot
    assert "score card" not in result.output


@pytest.mark.parametrize("option", ["--setup-plan", "--setup-only"])
def test_a_run_without_calls_is_no_pass(project, option: str) -> None:
    project.suite()
    result = project.run(option, "suite")
    assert result.status == 1
    assert result.report is not None
    assert not result.report["complete"]


def test_the_suites_arm(project) -> None:
    project.suite()
    result = project.run()
    assert result.status == 0, result.output
    assert result.report is not None
    assert result.report["complete"]
    assert result.verdict["level"] == "expert"


def test_armed_beside_a_teams_tests_whose_failure_counts(project) -> None:
    project.suite()
    project.write("test_team.py", "def test_it(): assert False\n")
    result = project.run()
    assert result.status == 1
    assert result.verdict["exit_status"] == 1
    assert result.verdict["reasons"]


def test_armed_by_tests_that_were_imported(project) -> None:
    """``from pytest_triton.suites.test_x import *`` in a tree of one's own is the suite too."""
    project.write(
        "conftest.py",
        """
import pytest
@pytest.fixture(scope="session")
def triton_booted():
    from pytest_triton.booted import Booted
    from pytest_triton.errors import ToolError
    return Booted(None, ToolError("no server here"))
""",
    )
    project.write("test_ours.py", "from pytest_triton.suites.test_health import *\n")
    result = project.run()
    assert result.status == 1
    assert result.report is not None
    assert result.clause("HLT-05")["reason_code"] == "blocked"


@pytest.mark.parametrize(
    "selection",
    [("-k", "HLT"), ("-m", "not clause"), ("--deselect", "suite/test_setup.py")],
    ids=["k", "m", "deselect"],
)
def test_deselected_afterwards_is_armed_and_incomplete(project, selection: tuple[str, ...]) -> None:
    project.suite()
    result = project.run("suite", *selection)
    assert result.status != 0
    assert result.report is not None
    assert not result.report["complete"]
    assert result.verdict["level"] == "none"
    assert result.clause("SET-01")["status"] == "not_assessed"
    assert result.clause("SET-01")["reason_code"] == "deselected"


def test_everything_deselected_keeps_pytests_status(project) -> None:
    project.suite()
    result = project.run("suite", "-k", "nothing_is_called_that")
    assert result.status == 5
    assert result.verdict["exit_status"] == 5
    assert result.report is not None
    assert not result.report["complete"]


def test_one_file_is_not_the_suite(project) -> None:
    project.suite()
    result = project.run("suite/test_setup.py")
    assert result.status == 1
    assert result.clause("SET-01")["status"] == "pass"
    assert result.clause("INF-01")["reason_code"] == "deselected"
    assert result.verdict["level"] == "none"


def test_last_failed_is_not_the_suite(project) -> None:
    project.suite({"HLT-05": "fail", "INF-01": "fail"})
    assert project.run("suite").status == 1
    project.write("suite/behaviour.json", "{}")
    result = project.run("suite", "--lf")
    assert result.outcomes == {"passed": 2}
    assert result.status == 1
    assert result.clause("SET-01")["reason_code"] == "deselected"


def test_a_test_that_a_conftest_takes_away_is_missed(project) -> None:
    project.suite(
        conftest="""
def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if "HLT-05" not in item.nodeid]
"""
    )
    result = project.run("suite")
    assert result.status == 1
    assert result.clause("HLT-05")["status"] == "not_assessed"


def test_the_report_goes_where_it_is_said(project, tmp_path: Path) -> None:
    project.suite()
    assert project.run("suite", "--triton-report", tmp_path / "there").status == 0
    assert (tmp_path / "there" / "report.json").is_file()
    assert not (project.path / "triton-report").exists()
