"""pytest-html's page in real runs: armed and unarmed, with and without --html and workers.

The subject is a port where nobody listens: the verdict is bad at once, and complete.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_triton.reports import render

NOBODY = ("--triton-url", "http://127.0.0.1:9", "--triton-seed", "7")
SUITE = "pytest_triton.suites.test_health"
TEAM = """\
import pytest

@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>"])
def test_team(name):
    assert name

def test_plain():
    pass
"""


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if "PYTEST" not in key}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=directory, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def blob(page: Path) -> dict[str, Any]:
    """What pytest-html's script draws its table of."""
    match = re.search(r'data-jsonblob="([^"]*)"', page.read_text("utf-8"))
    assert match is not None
    text = match[1].replace("&#34;", '"').replace("&lt;", "<").replace("&gt;", ">")
    found: dict[str, Any] = json.loads(text.replace("&#39;", "'").replace("&amp;", "&"))
    return found


@pytest.fixture
def team(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_team.py").write_text(TEAM)
    return tmp_path


def everything(directory: Path) -> set[str]:
    return {
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_armed_run_leaves_a_page(team: Path, workers: str) -> None:
    done = run(team, "--pyargs", SUITE, "test_team.py", *NOBODY, "-n", workers)
    assert done.returncode == 1, done.stdout
    report = render.read(team / "triton-report")
    page = team / "triton-report" / "report.html"
    source = page.read_text("utf-8")
    assert "triton-report/report.html · report.json" in done.stdout
    assert "Generated html report" not in done.stdout
    assert "Exit status 1, because of" in source
    assert source.count('<header class="tr-head ') == 1
    data = blob(page)
    rows = [row for tests in data["tests"].values() for row in tests]
    ran = [clause for clause in report["clauses"] if clause["nodeids"]]
    assert ran
    assert {row["clause"] for row in rows} == {clause["id"] for clause in ran} | {""}
    assert len(rows) == len(ran) + 2
    for row in rows:
        assert "<img" not in "".join(row["resultsTableRow"])
        assert len(row["resultsTableRow"]) == 6
    assert source.count('data-column-type="clause"') == 1
    # The one URL is pytest-html's own credit.
    found = re.findall(r'(?:href|src)="(https?:[^"]*)"', source)
    assert set(found) <= {"https://pypi.python.org/pypi/pytest-html"}


def test_an_unarmed_run_leaves_nothing(team: Path) -> None:
    before = everything(team)
    assert run(team, "test_team.py").returncode == 0
    assert run(team, "--pyargs", SUITE, "--collect-only", *NOBODY).returncode == 0
    assert everything(team) == before


def test_an_unarmed_page_is_not_touched(team: Path) -> None:
    assert run(team, "test_team.py", "--html", "own.html", "--self-contained-html").returncode == 0
    source = (team / "own.html").read_text("utf-8")
    assert "tr-head" not in source
    assert 'data-column-type="clause"' not in source


@pytest.mark.parametrize("more", [(), ("--self-contained-html",)])
def test_a_page_that_was_asked_for_gets_the_blocks(team: Path, more: tuple[str, ...]) -> None:
    done = run(team, "--pyargs", SUITE, *NOBODY, "--html", "out/own.html", *more)
    assert done.returncode == 1, done.stdout
    source = (team / "out" / "own.html").read_text("utf-8")
    assert source.count('<header class="tr-head ') == 1
    assert 'href="../triton-report/report.json"' in source
    assert all("clause" in row for tests in blob(team / "out" / "own.html")["tests"].values()
               for row in tests)  # fmt: skip
    assert not (team / "triton-report" / "report.html").exists()
    assert "triton-report/report.json" in done.stdout


def test_without_pytest_html_the_page_is_our_own(team: Path) -> None:
    done = run(team, "--pyargs", SUITE, *NOBODY, "-p", "no:html", "-p", "no:html_fixtures")
    assert done.returncode == 1, done.stdout
    directory = team / "triton-report"
    assert (directory / "report.html").read_text("utf-8") == render.page(
        render.read(directory), directory
    )


def test_an_interrupted_run_has_its_page(team: Path) -> None:
    (team / "test_stop.py").write_text("def test_stop():\n    raise KeyboardInterrupt\n")
    done = run(team, "test_stop.py", "--pyargs", SUITE, *NOBODY)
    assert done.returncode == 2, done.stdout
    report = render.read(team / "triton-report")
    assert report["complete"] is False
    assert report["verdict"]["exit_status"] == 2
    assert "Incomplete, no verdict" in (team / "triton-report" / "report.html").read_text("utf-8")


def test_a_page_that_cannot_be_written_changes_no_verdict(team: Path) -> None:
    (team / "triton-report" / "report.html").mkdir(parents=True)
    done = run(team, "--pyargs", SUITE, *NOBODY, "-W", "error")
    assert done.returncode == 1, done.stdout
    assert "report.html could not be written" in done.stdout
    assert "INTERNALERROR" not in done.stdout + done.stderr


def test_loading_costs_nothing() -> None:
    code = (
        "import sys, pytest_triton.plugin, pytest_triton.reports.html, "
        "pytest_triton.reports.terminal as t; "
        "heavy = {'jinja2', 'jsonschema', 'pytest_html', 'rich', 'numpy', 'grpc'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
