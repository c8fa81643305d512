"""Projects with a tiny suite in place of ours: whole verdicts in a fraction of a second."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

# Runs inside this process drop what they import at their end; numpy cannot be loaded twice.
import pytest_triton.subject  # noqa: F401
from pytest_triton.criteria import load
from pytest_triton.options import AREAS

SUBJECT = '''
import pytest

class AnySubject:
    """A server that has everything; the tiny suite asks it nothing."""
    release = "24.10"
    hidden = ""
    def capability(self, name): return True
    def obstacle(self, prerequisite): return None
    def has_endpoint(self, name): return True

@pytest.fixture(scope="session")
def triton_subject():
    return AnySubject()
'''


@dataclass
class Result:
    """One run of pytest in a project."""

    status: int
    output: str
    outcomes: dict[str, int]
    report: dict[str, Any] | None = field(repr=False)

    def clause(self, name: str) -> dict[str, Any]:
        """Its entry in the report."""
        assert self.report is not None, self.output
        return next(entry for entry in self.report["clauses"] if entry["id"] == name)

    def criterion(self, name: str) -> str:
        """Its status."""
        assert self.report is not None, self.output
        return next(entry["status"] for entry in self.report["criteria"] if entry["id"] == name)

    @property
    def verdict(self) -> dict[str, Any]:
        assert self.report is not None, self.output
        found: dict[str, Any] = self.report["verdict"]
        return found


class Project:
    """A directory with tests, run by pytest inside this process (or in one of its own)."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    def suite(self, behaviour: dict[str, str] | None = None, conftest: str = "") -> None:
        """The tiny suite, one file for each area, with a subject that has everything."""
        directory = self.path / "suite"
        directory.mkdir(exist_ok=True)
        self.write("suite/behaviour.json", json.dumps(behaviour or {}))
        for area in AREAS:
            if any(clause.built and clause.area == area for clause in load().clauses.values()):
                shutil.copy(
                    Path(__file__).with_name("tiny_suite.py"), directory / f"test_{area}.py"
                )
        self.write("conftest.py", SUBJECT + conftest)

    def run(self, *arguments: str | Path, subprocess: bool = False) -> Result:
        """``pytest ARGUMENTS``; the report is read if one was written."""
        shutil.rmtree(self.path / "triton-report", ignore_errors=True)
        # report.html is tested with the reports: it would be drawn in every run here.
        words = ["-p", "no:html", "-p", "no:randomly", *map(str, arguments)]
        if subprocess:
            ran = self.pytester.runpytest_subprocess(*words, timeout=240)
        else:
            ran = self.pytester.runpytest_inprocess(*words, no_reraise_ctrlc=True)
        report = self.path / "triton-report" / "report.json"
        try:
            outcomes = ran.parseoutcomes()
        except ValueError:
            outcomes = {}
        return Result(
            int(ran.ret),
            ran.stdout.str() + ran.stderr.str(),
            outcomes,
            json.loads(report.read_text("utf-8")) if report.exists() else None,
        )

    def files(self) -> set[str]:
        """What lies in the project, without what Python and pytest leave."""
        return {
            str(path.relative_to(self.path))
            for path in self.path.rglob("*")
            if not {"__pycache__", ".pytest_cache"} & set(path.parts)
        }


@pytest.fixture(scope="session")
def users_cache() -> Path:
    """The user's cache with the default release; pytester changes HOME."""
    from pytest_triton.launch.cache import cache_root
    from pytest_triton.launch.store import install

    install()
    return cache_root()


@pytest.fixture
def project(
    users_cache: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """An empty project, away from the settings of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith("PYTEST_TRITON_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTEST_TRITON_CACHE", str(users_cache))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    pytester.makefile(".toml", pyproject="[tool.pytest]\n")
    return Project(pytester)
