"""Lint for tests: as a fixture, and as a clause on what a server serves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_triton.errors import Misused
from pytest_triton.releases import RELEASES, release_of
from pytest_triton.repository.lint import Finding, LintOptions, LintResult, lint, project
from pytest_triton.repository.names import printable
from pytest_triton.settings import Settings

if TYPE_CHECKING:
    from pytest_triton.deployment import Deployment


class Linter:
    """``triton_lint(path=None, …)``: findings of a path, by default of what is served."""

    def __init__(self, settings: Settings, root: Path) -> None:
        self._settings = settings
        self._root = root

    def __call__(
        self,
        path: Path | str | None = None,
        *,
        release: str | None = None,
        latency_budget_ms: float | None = None,
        gpus: int | None = None,
        severities: Mapping[str, str] | None = None,
    ) -> LintResult:
        """Lint; what is not given is what the project's pyproject.toml says."""
        told = project.find(self._root)
        budget = told.latency_budget_ms if latency_budget_ms is None else latency_budget_ms
        options = LintOptions(
            release=told.release if release is None else release,
            latency_budget_ms=budget,
            gpus=told.gpus if gpus is None else gpus,
            severities=project.severities(
                {**told.severities, **(severities or {})}, told.select, told.ignore
            ),
        )
        return lint(path if path is not None else self._served(), options)

    def _served(self) -> Path:
        if self._settings.repository is not None:
            return self._settings.repository
        if self._settings.kind == "reference":
            from pytest_triton.repository.reference import reference_repository

            return reference_repository()
        raise Misused(
            "there are no files of an endpoint to lint",
            "triton_lint(PATH), or say --triton-repository",
        )


def judged(deployment: Deployment, version: str) -> LintResult:
    """What lint says of a served repository, on the server that serves it.

    Comments in a configuration switch nothing off here: who is judged does not judge.
    """
    assert deployment.repository is not None
    release = release_of(version) or deployment.release or ""
    options = LintOptions(
        release=release if release in RELEASES.values() else "", suppressions=False
    )
    return lint(deployment.repository, options)


def errors_of(result: LintResult, model: str) -> list[Finding]:
    """The errors of one model; under an empty name those of the repository."""
    shown = printable(model)
    return [finding for finding in result.errors if finding.model == shown]
