"""Hooks that a team or another plugin may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_triton.criteria import Catalogue


@pytest.hookspec
def pytest_triton_catalogue(catalogue: Catalogue, config: pytest.Config) -> None:
    """Add clauses and criteria of your own.

    A test that carries ``@pytest.mark.clause("TEAM-01")`` judges the clause; it is folded,
    scored and reported like ours::

        def pytest_triton_catalogue(catalogue, config):
            catalogue.add_file(Path(__file__).with_name("team.toml"))

    ``team.toml`` has ``[[criterion]]`` and ``[[clause]]`` tables as our own catalogue;
    ``pytest-triton explain --schema`` prints their keys.
    """


@pytest.hookspec
def pytest_triton_update_report(report: dict[str, Any], config: pytest.Config) -> None:
    """Amend report.json before it is written, e.g. with the build that was judged::

        def pytest_triton_update_report(report, config):
            report["run"]["commit"] = os.environ.get("CI_COMMIT_SHA")

    The verdict, the criteria and the clauses cannot be changed here: they are put back.
    """
