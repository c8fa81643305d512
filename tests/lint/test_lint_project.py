"""Settings of a project in pyproject.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.errors import Misused
from pytest_triton.repository.lint import rules
from pytest_triton.repository.lint.project import Project, find, severities


def project(directory: Path, table: str) -> Project:
    (directory / "pyproject.toml").write_text(f"[tool.pytest-triton.lint]\n{table}\n")
    return find(directory)


def test_everything(tmp_path: Path) -> None:
    assert project(
        tmp_path,
        'release = "24.07"\nlatency-budget = 12.5\ngpus = 2\nselect = ["CFG"]\n'
        'ignore = ["SUP001"]\nfail-on = "warning"\n[tool.pytest-triton.lint.severities]\n'
        'CFG002 = "off"\nSUP = "info"\n',
    ) == Project("24.07", 12.5, 2, {"CFG002": "off", "SUP": "info"}, ("CFG",), ("SUP001",),
                 "warning")  # fmt: skip


def test_the_nearest_file_that_says_something(tmp_path: Path) -> None:
    project(tmp_path, "gpus = 3")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (below / "pyproject.toml").write_text('[project]\nname = "x"\n')
    assert find(below).gpus == 3
    (below / "pyproject.toml").write_text("[tool.pytest-triton.lint]\ngpus = 0\n")
    assert find(below).gpus == 0


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('relase = "24.07"', "did you mean release"),
        ('severities = { CFG099 = "off" }', "CFG099"),
        ('severities = { CFG001 = "fatal" }', "error, warning, info or off"),
        ("severities = 3", "no table"),
        ('fail-on = "never"', "fail-on"),
        ('gpus = "two"', "gpus"),
        ("gpus = true", "gpus"),
        ("latency-budget = -1", "latency-budget"),
        ("latency-budget = true", "latency-budget"),
        ('select = "CFG"', "no list"),
        ('ignore = ["NOPE"]', "NOPE"),
        ("not toml", "pyproject.toml"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, table: str, said: str) -> None:
    with pytest.raises(Misused, match=r"pyproject\.toml|no lint rule") as caught:
        project(tmp_path, table)
    assert said in str(caught.value)


def test_families_spread_over_their_rules() -> None:
    made = severities({"CFG001": "info", "CFG": "warning"}, select=["CFG"], ignore=["cfg004"])
    assert {name: made[name] for name in ("CFG001", "CFG002", "CFG004")} == {
        "CFG001": "info",
        "CFG002": "warning",
        "CFG004": "off",
    }
    others = [name for name in rules() if not name.startswith("CFG")]
    assert all(made[name] == "off" for name in others)
    assert severities({}) == {}
