"""Files of budgets: what is read, and what is refused with its place."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_triton.errors import ToolError
from pytest_triton.settings import Settings
from pytest_triton.timing import budgets
from pytest_triton.timing.budgets import read


def test_budgets_are_read(tmp_path: Path) -> None:
    file = tmp_path / "budgets.toml"
    file.write_text(
        '[[budget]]\nmodel = "a"\nrate = 100\np95_ms = 40\nerror_rate = 0\n'
        '[[budget]]\nmodel = "b"\nconcurrency = 8\nthroughput_rps = 500.5\n'
    )
    one, two = read(file)
    assert (one.model, one.rate, one.concurrency) == ("a", 100.0, None)
    assert dict(one.budgets) == {"p95_ms": 40, "error_rate": 0}
    assert (two.load, one.load) == ("8 requests in flight", "100 requests/s")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no"),
        ("x = 1", "holds no"),
        ("budget = 3", "holds no"),
        ("[[budget]", "budgets.toml: "),
        ("[[budget]]\nrate = 1\np95_ms = 4", "budget 1 names no model"),
        ('[[budget]]\nmodel = "a"\np95_ms = 4', "one of rate and concurrency"),
        ('[[budget]]\nmodel = "a"\nrate = 1\nconcurrency = 1\np95_ms = 4', "one of rate and"),
        ('[[budget]]\nmodel = "a"\nrate = 0\np95_ms = 4', "rate is 0"),
        ('[[budget]]\nmodel = "a"\nrate = true\np95_ms = 4', "rate is True"),
        ('[[budget]]\nmodel = "a"\nconcurrency = 1.5\np95_ms = 4', "concurrency is 1.5"),
        ('[[budget]]\nmodel = "a"\nrate = 1', "no budget was given"),
        ('[[budget]]\nmodel = "a"\nrate = 1\np95 = 40', "has no unit"),
        ('[[budget]]\nmodel = "a"\nrate = 1\np95_ms = 0', "p95_ms"),
        ('[[budget]]\nmodel = "a"\nrate = 1\np95_ms = -4', "p95_ms"),
        ('[[budget]]\nmodel = "a"\nrate = 1\nfast = 4', "no budget"),
    ],
)
def test_what_is_no_budget_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "budgets.toml"
    file.write_text(text)
    with pytest.raises(ToolError, match=told):
        read(file)


def test_a_file_of_objectives_alone_leaves_the_budget_that_nobody_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing stated is not nothing judged."""
    file = tmp_path / "budgets.toml"
    file.write_text('[[objective]]\nmodel = "mlp"\navailability = 99.5\n')
    ours = budgets.Budget("mlp", {"p95_ms": 25}, 40.0, stated=False)
    monkeypatch.setattr(budgets, "default", lambda subject: ours)
    subject: Any = SimpleNamespace(settings=Settings(budgets=file), models={"mlp": None})
    assert budgets.budgets_of(subject) == [ours]
    file.write_text('[[budget]]\nmodel = "mlp"\nrate = 5\np95_ms = 40\n' + file.read_text())
    assert [one.stated for one in budgets.budgets_of(subject)] == [True]
