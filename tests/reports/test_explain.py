"""pytest-triton explain."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pytest_triton import explaining
from pytest_triton.cli import cli
from pytest_triton.criteria import Catalogue, load
from pytest_triton.criteria.catalogue import CAPABILITIES, NEEDS, PREREQUISITES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def explain(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["explain", *arguments])


def test_a_clause() -> None:
    run = explain("hlt-05")
    assert run.exit_code == 0, run.output
    for word in ("HLT-05", "MUST", "source", "hint", "area", "criteria", "releases", "faults"):
        assert word in run.output
    assert "pytest --pyargs pytest_triton.suites.test_health::" in run.output


@pytest.mark.parametrize("name", load().clauses)
def test_every_clause_is_told_whole(name: str) -> None:
    clause = load().clauses[name]
    told = " ".join(" ".join(explaining.clause(load(), clause)).split())
    for text in (clause.title, clause.must, clause.source, clause.hint):
        assert " ".join(text.split()) in told
    if clause.built:
        assert "--pyargs pytest_triton.suites." in told, f"no test of {name} was found"


def test_what_is_not_built_says_from_which_release_it_holds() -> None:
    for name, first in (("SHM-08", "25.07"), ("NEG-20", "25.05"), ("NEG-21", "25.06"),
                        ("NEG-22", "26.05"), ("NEG-24", "26.04"), ("SHM-00", "26.04")):  # fmt: skip
        told = " ".join(explain(name).output.split())
        assert f"holds from release {first}; not built yet" in told, name
        assert "the newest release that can be installed is 24.10" in told, name
    for name in ("CRS-01", "STA-10"):  # the hint says what stands in the way
        told = " ".join(explain(name).output.split())
        assert "not built yet" in told, name
        assert "Not judged yet: " in told, name
        assert "can be installed" not in told, name


def test_the_command_names_a_test_that_is_there() -> None:
    suites = Path(__file__).resolve().parents[2] / "suites"
    for name, nodes in explaining.tests().items():
        for node in nodes:
            module, _, function = node.rpartition("::")
            source = (suites / f"{module.rpartition('.')[2]}.py").read_text("utf-8")
            names = {n.name for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)}
            assert function in names, (name, node)


def test_a_criterion() -> None:
    run = explain("a1")
    assert run.exit_code == 0
    assert "dynamic batching" in run.output
    assert "BAT-03" in run.output


def test_unknown_has_near_matches() -> None:
    run = explain("HLT-5")
    assert run.exit_code == 2
    assert "did you mean" in run.output
    assert "HLT-05" in run.output
    assert explain("zzz").exit_code == 2
    assert explain().exit_code == 2
    assert explain("HLT-05", "--list").exit_code == 2


def test_list_has_all_of_them() -> None:
    run = explain("--list")
    assert run.exit_code == 0
    for name in load().clauses:
        assert re.search(rf"^  {name}\b", run.output, re.MULTILINE)


def test_the_schema_is_a_catalogue_that_loads() -> None:
    run = explain("--schema")
    assert run.exit_code == 0
    catalogue = load()
    catalogue.add(tomllib.loads(run.output), origin="the schema")
    assert catalogue.clauses["TEAM-01"].criteria == ("T1",)
    for name in (*CAPABILITIES, *NEEDS, *PREREQUISITES):
        assert re.search(rf"^#   {name} ", run.output, re.MULTILINE), name
    for key in ("shows", *load().clauses["HLT-05"].__dataclass_fields__):
        assert re.search(rf"^{key} = ", run.output, re.MULTILINE), key


def test_a_teams_own_catalogue(tmp_path: Path) -> None:
    (tmp_path / "team.toml").write_text(explain("--schema").output)
    run = explain("TEAM-01", "--catalogue", str(tmp_path / "team.toml"))
    assert run.exit_code == 0, run.output
    assert "your own test that is marked with it" in run.output


def test_a_fault_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pytest_triton").mkdir()
    faults = tmp_path / "tests" / "faults"
    faults.mkdir(parents=True)
    (faults / "health.toml").write_text(
        '[[fault]]\nname = "deaf"\nclause = "HLT-01"\nwhat = "live answers 503"\n'
    )
    monkeypatch.setattr(explaining, "__file__", str(tmp_path / "pytest_triton" / "explaining.py"))
    catalogue: Catalogue = load()
    told = "\n".join(explaining.clause(catalogue, catalogue.clauses["HLT-01"]))
    assert "deaf: live answers 503" in told
    assert "pytest tests/faults -k HLT-01" in told
