"""Lint a repository, one model, or one configuration."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_triton.errors import Findings, Misused
from pytest_triton.releases import RELEASES, release_of
from pytest_triton.repository.config import (
    CONFIG_NAME,
    ConfigError,
    EncodingError,
    TooLarge,
    read_text,
)
from pytest_triton.repository.layout import is_directory, is_version, list_models, model_directory
from pytest_triton.repository.lint.context import (
    MAX_FINDINGS,
    LintedModel,
    LintedRepository,
    LintOptions,
)
from pytest_triton.repository.lint.finding import SEVERITIES, Finding, Severity, told
from pytest_triton.repository.lint.registry import RegisteredForAll, checks
from pytest_triton.repository.lint.suppress import suppress
from pytest_triton.repository.names import printable
from pytest_triton.repository.positions import Position, locate


@dataclass(frozen=True, slots=True)
class LintResult:
    """Everything that was found, in the order of files and lines."""

    findings: tuple[Finding, ...]
    #: Names of the models that were looked at.
    models: tuple[str, ...]

    def count(self, severity: Severity) -> int:
        """How many findings have this severity."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that Triton refuses, or that make it serve something wrong."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def require(self, max: Severity | None = "warning") -> LintResult:
        """Fail with a table of everything that is worse than ``max``; None tolerates nothing.

        Raises Findings, which is an AssertionError; returns itself, to be looked at further.
        """
        tolerated = SEVERITIES[SEVERITIES.index(max) :] if max else ()
        wrong = [finding for finding in self.findings if finding.severity not in tolerated]
        if wrong:
            lines = [told(finding) for finding in wrong]
            lines.append(f"explain one with  pytest-triton lint --explain {wrong[0].rule}")
            raise Findings("\n".join(lines))
        return self


def lint(
    path: Path | str,
    options: LintOptions | None = None,
    *,
    texts: Mapping[Path, str] | None = None,
) -> LintResult:
    """Look at a model repository, a model's directory, or a configuration file.

    A directory is a model when it holds a config.pbtxt, or version directories alone. For a
    configuration alone nothing is said of model files or other models. ``texts`` are read
    instead of the configurations at these paths. Raises Misused when
    there is nothing at ``path`` or the release is not known; whatever the files say is a
    finding.
    """
    path, options = Path(path), options or LintOptions()
    if options.release and options.release not in RELEASES.values():
        raise Misused(
            f"{options.release!r} is no Triton release that is known here", _meant(options.release)
        )
    repository = _open(path, options, texts or {})
    for registered in checks():
        registered.run(repository)
    for model in repository.models.values():
        if (more := model.memory.get("found", 0) - MAX_FINDINGS) > 0:
            last = model.findings[-1]
            model.findings[-1] = replace(last, message=f"{last.message} (and {more} findings more)")
    found = [*repository.findings]
    for model in repository.models.values():
        found += suppress(model) if options.suppressions else model.findings
    names = tuple(printable(name) for name in repository.models)
    return LintResult(tuple(_ordered(found, options)), names)


def lint_among(model: Path, repository: Path, options: LintOptions | None = None) -> LintResult:
    """Look at one model as if it were in a repository that it is not in yet.

    Only an ensemble has to do with the repository's other models; of those nothing is said.
    """
    options = options or LintOptions()
    opened = LintedRepository(repository, {}, options, whole=False)
    new = LintedModel(model.name, model, model.name, model_directory(model))
    _read(new, opened)
    if new.config.HasField("ensemble_scheduling"):
        opened.whole = True
        for directory in list_models(repository):
            if directory.name != new.name:
                _read(
                    LintedModel(directory.name, directory.path, directory.name, directory), opened
                )
    for registered in checks():
        alone = not isinstance(registered, RegisteredForAll)
        if alone and (new.readable or not registered.needs_config):
            registered.function(new)  # type: ignore[arg-type]
    found = suppress(new) if options.suppressions else new.findings
    return LintResult(tuple(_ordered(found, options)), (printable(new.name),))


def _meant(release: str) -> str:
    """What to say instead of a release that is not known."""
    known = list(RELEASES.values())
    year, _, month = release.partition(".")
    padded = f"{year}.{month.zfill(2)}"
    if meant := release_of(release) or (padded if padded in known else None):
        return f"write {meant}"
    return f"releases go from {known[0]} to {known[-1]}; leave it out to judge for any"


def _open(path: Path, options: LintOptions, texts: Mapping[Path, str]) -> LintedRepository:
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            os.listdir(path)
    except OSError as error:
        raise Misused(f"{path}: {error.strerror}", "name a repository or a config.pbtxt") from None
    repository = LintedRepository(path, {}, options, texts=texts)
    if not stat.S_ISDIR(kind):
        repository.whole = False
        model = LintedModel(
            path.parent.resolve().name, path.parent, "", None, config_name=path.name
        )
        _read(model, repository)
        return repository
    if _is_model(path):
        repository.whole = False
        name = path.resolve().name
        _read(LintedModel(name, path, "", replace(model_directory(path), name=name)), repository)
        return repository
    for directory in list_models(path):
        _read(LintedModel(directory.name, directory.path, directory.name, directory), repository)
    return repository


def _is_model(path: Path) -> bool:
    """A model, not a repository: a config.pbtxt at the root of a repository makes it none."""
    below = [entry for entry in os.scandir(path) if is_directory(entry)]
    numbers = any(is_version(entry.name) for entry in below)
    configured = any(os.path.lexists(Path(entry.path) / CONFIG_NAME) for entry in below)
    if os.path.lexists(path / CONFIG_NAME):
        return numbers or not configured
    return numbers and not configured


def _read(model: LintedModel, repository: LintedRepository) -> None:
    model.repository = repository
    repository.models[model.name] = model
    file = model.path / model.config_name
    if file not in repository.texts and not os.path.lexists(file):
        return
    try:
        text = repository.texts.get(file)
        model.text = read_text(file) if text is None else text
    except EncodingError as error:
        model.text = read_text(file, errors="replace")
        model.undecodable = Position(error.line, error.column)
    except TooLarge as error:
        model.report(
            "CFG001",
            f"{error.reason}: Triton reads it, lint does not",
            Position(1, 1),
            fix="no configuration is that large: look what has got into it",
            severity="warning",
        )
        return
    except ConfigError as error:
        position = Position(max(error.line, 1), max(error.column, 1))
        message, fix = _unreadable(file, error.reason)
        model.report("CFG001", message, position, fix=fix)
        return
    model.configured = True
    model.located = locate(model.text)


def _unreadable(file: Path, reason: str) -> tuple[str, str]:
    """What to say of a configuration that is no file, or cannot be opened; and what to do."""
    try:
        kind = file.lstat().st_mode
        if stat.S_ISLNK(kind) and not os.path.exists(file):
            return "a link that leads nowhere: Triton leaves the model out", "copy the file there"
        kind = file.stat().st_mode
    except OSError:
        return reason, ""
    if stat.S_ISDIR(kind):
        return "a directory: reading it ends the whole server", "put a file in its place"
    if stat.S_ISFIFO(kind):
        return "a fifo: Triton waits for its other end for ever", "put a file in its place"
    if not stat.S_ISREG(kind):
        return f"{reason}: Triton leaves the model out", "put a file in its place"
    if not os.access(file, os.R_OK):
        return f"{reason}: the same user's Triton leaves the model out", "chmod +r config.pbtxt"
    return reason, ""


def _ordered(findings: list[Finding], options: LintOptions) -> list[Finding]:
    """By file and line, once each, with the severities that were asked for."""
    kept = []
    for finding in dict.fromkeys(findings):
        severity = options.severities.get(finding.rule, finding.severity)
        if severity in SEVERITIES:
            kept.append(
                replace(
                    finding,
                    severity=severity,
                    file=printable(finding.file),
                    message=printable(finding.message),
                    fix=printable(finding.fix),
                    model=printable(finding.model),
                )
            )
    return sorted(
        kept, key=lambda f: (f.file, f.line, f.column, SEVERITIES.index(f.severity), f.rule)
    )
