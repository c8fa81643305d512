"""The coverage page says of every clause what the catalogue and the last runs say."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import pkgutil
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_triton import suites
from pytest_triton.criteria import load
from pytest_triton.launch.store import RELEASES

ROOT = Path(__file__).resolve().parents[2]
FOUND = ROOT / "docs" / "reference" / "coverage.json"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def docs() -> ModuleType:
    script("docs")  # knows where its parts lie
    return importlib.import_module("docs_coverage")


def rows(page: str) -> dict[str, list[str]]:
    """Clause -> the cells of its row; each has one."""
    found: dict[str, list[str]] = {}
    for line in page.splitlines():
        if match := re.match(r"\| \[([A-Z0-9-]+)\]\(clauses\.md#", line):
            assert match[1] not in found
            found[match[1]] = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    return found


def test_every_clause_has_its_row(docs: ModuleType) -> None:
    content = json.loads(FOUND.read_text("utf-8"))
    catalogue = load()
    told = rows((ROOT / "docs" / "reference" / "coverage.md").read_text("utf-8"))
    assert list(told) == sorted(
        catalogue.clauses, key=lambda n: (docs.AREAS.index(catalogue.clauses[n].area),
                                          list(catalogue.clauses).index(n))
    )  # fmt: skip
    for name, clause in catalogue.clauses.items():
        cells = told[name]
        assert len(cells) == 5 + len(content["runs"])
        assert cells[1] == clause.title.replace("|", "\\|")
        for release, cell in zip(content["runs"], cells[5:], strict=True):
            known = content["clauses"].get(name, {}).get(release, "")
            assert cell == docs.told(clause, known)
            if not known:
                assert cell == "not run"


def test_what_was_found_is_of_this_catalogue() -> None:
    content = json.loads(FOUND.read_text("utf-8"))
    assert set(content["runs"]) == set(RELEASES)
    assert set(content["clauses"]) <= set(load().clauses), "judge again:  make coverage"
    for name, found in content["clauses"].items():
        assert set(found) <= set(content["runs"]), name
        for status in found.values():
            assert status.partition("/")[0] not in ("fail", "error"), f"{name}: {found}"


def test_a_clause_that_never_ran(docs: ModuleType) -> None:
    page = docs.coverage_page(load(), {"runs": {}, "clauses": {}})
    assert set(rows(page)) == set(load().clauses)
    run = {"server": "2.51.0", "date": "2026-01-01", "suite": "0"}
    page = docs.coverage_page(load(), {"runs": {"24.10": run}, "clauses": {}})
    assert all(cells[-1] == "not run" for cells in rows(page).values())


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ("fail", "**fail**"),
        ("error", "**error**"),
        ("inconclusive", "**inconclusive**"),
        ("not_assessed/blocked", "**not assessed** (blocked)"),
        ("not_assessed/deselected", "not run"),
    ],
)
def test_what_is_wrong_stands_out(docs: ModuleType, result: str, said: str) -> None:
    assert docs.told(load().clauses["HLT-01"], result) == said


def test_production(docs: ModuleType) -> None:
    """A clause whose test needs a server of ours, or changes one, is never called harmless."""
    clauses = load().clauses
    asked = {"triton_disposable", "triton_polled", "triton_server_factory", "triton_controlled",
             "triton_adjustable", "triton_load"}  # fmt: skip
    for info in pkgutil.iter_modules(suites.__path__):
        module = import_module(f"pytest_triton.suites.{info.name}")
        for function in vars(module).values():
            for mark in getattr(function, "pytestmark", ()):
                if mark.name == "clause" and asked & set(inspect.signature(function).parameters):
                    assert docs.production(clauses[mark.args[0]]) != "yes", mark.args[0]
    assert docs.production(clauses["HLT-01"]) == "yes"


def test_a_release_that_is_judged_again() -> None:
    judging = script("judge_releases")

    def report(version: str, *clauses: tuple[str, str, str | None]) -> dict[str, Any]:
        return {
            "finished": "2026-05-01T00:00:00+00:00",
            "suite": {"version": "1"},
            "environment": {"server": {"version": version}},
            "clauses": [{"id": n, "status": s, "reason_code": c} for n, s, c in clauses],
        }

    first = judging.update({}, {"24.07": report("2.48.0", ("B", "pass", None), ("A", "fail", None)),
                                "24.10": report("2.51.0", ("A", "pass", None))})  # fmt: skip
    again = judging.update(
        first, {"24.07": report("2.48.0", ("A", "not_assessed", "not_applicable"))}
    )
    assert again["clauses"] == {"A": {"24.07": "not_assessed/not_applicable", "24.10": "pass"}}
    assert json.loads(judging.dump(again)) == again
    assert again["runs"]["24.10"] == {"date": "2026-05-01", "server": "2.51.0", "suite": "1"}
