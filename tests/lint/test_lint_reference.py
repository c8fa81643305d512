"""The reference repository, as it is served, is an example: nothing but infos."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from pytest_triton.cli import cli
from pytest_triton.repository.lint import lint


def test_the_reference_repository_is_clean() -> None:
    pytest.importorskip("transformers")
    from pytest_triton.repository.reference import reference_models, reference_repository

    result = lint(reference_repository()).require(max="info")
    assert set(result.models) == set(reference_models())


def test_so_is_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the settings of our own pyproject.toml: git has no model.pt."""
    monkeypatch.chdir(Path(__file__).resolve().parents[2])
    made = CliRunner().invoke(cli, ["lint", "--fail-on", "warning"])
    assert made.exit_code == 0, made.stdout


def test_what_it_switches_off_has_a_reason() -> None:
    pytest.importorskip("transformers")
    from pytest_triton.repository.reference import reference_repository

    for path in reference_repository().glob("*/config.pbtxt"):
        for line in path.read_text().splitlines():
            name, found, rest = line.partition("triton-lint: disable=")
            assert not found or len(rest.split()) > 2, f"{path}: {name}"
