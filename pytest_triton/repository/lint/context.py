"""What a check looks at: one model with its files, inside its repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_triton.repository.config import CONFIG_NAME, ModelConfig, new_config
from pytest_triton.repository.layout import ModelDirectory
from pytest_triton.repository.lint.catalogue import rule
from pytest_triton.repository.lint.finding import Edit, Finding, Severity
from pytest_triton.repository.positions import FieldPath, Located, Position, Span

#: Elements of a repeated field that are looked at for where they stand.
_MAX_ELEMENTS = 1000


@dataclass(frozen=True, slots=True)
class LintOptions:
    """What the findings depend on besides the files."""

    #: Triton's release, e.g. "24.07"; empty: any, and what only some have is told as such.
    release: str = ""
    #: Milliseconds that an answer may take; 0: not known. A queue delay must stay below it.
    latency_budget_ms: float = 0.0
    #: GPUs of the machine that will serve; None: not known.
    gpus: int | None = None
    #: Rule -> severity, or "off".
    severities: Mapping[str, str] = field(default_factory=dict)
    #: Whether comments of a configuration may switch rules off.
    suppressions: bool = True


#: Findings of one model that are kept: nobody reads more, and a file may provoke a million.
MAX_FINDINGS = 1000


@dataclass(slots=True)
class LintedModel:
    """One model: its configuration as far as it can be read, and its directory."""

    name: str
    #: The model's directory; for a configuration alone, the directory that it lies in.
    path: Path
    #: What findings call that directory: relative to what is linted, empty for itself.
    shown: str
    #: None when only a configuration is linted: nothing is said about other files then.
    directory: ModelDirectory | None
    #: config.pbtxt as text; empty when there is none or it is not text.
    text: str = ""
    #: The first byte of config.pbtxt that is no UTF-8; those bytes are replaced in ``text``.
    undecodable: Position | None = None
    located: Located = field(default_factory=lambda: Located(new_config()))
    #: Whether there is a config.pbtxt that could be read as text.
    configured: bool = False
    #: Name of the configuration's file, other than config.pbtxt when that was given.
    config_name: str = CONFIG_NAME
    repository: LintedRepository | None = None
    findings: list[Finding] = field(default_factory=list)
    #: What checks have read of the files and share.
    memory: dict[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> ModelConfig:
        """The configuration; what could not be read is unset in it."""
        return self.located.config

    @property
    def sound(self) -> bool:
        """Whether the configuration was read to its end, without any mistake in it."""
        return self.configured and not self.located.mistakes

    @property
    def readable(self) -> bool:
        """Whether the configuration was read to its end; unknown fields were stepped over."""
        mistakes = self.located.mistakes
        return self.configured and not (
            mistakes and any(mistake.kind == "syntax" for mistake in mistakes)
        )

    @property
    def options(self) -> LintOptions:
        """The options of the run."""
        return self.repository.options if self.repository else LintOptions()

    def shown_file(self, relative: str = "") -> str:
        """What a finding calls a file of this model; by default its configuration.

        "." is the directory itself.
        """
        if relative == ".":
            return self.shown or "."
        return "/".join(part for part in (self.shown, relative or self.config_name) if part)

    def report(
        self,
        identity: str,
        message: str,
        where: FieldPath | Position = (),
        *,
        fix: str = "",
        edits: tuple[Edit, ...] = (),
        file: str = "",
        severity: Severity | None = None,
    ) -> None:
        """Add a finding: ``where`` is a field of the configuration, or a position in ``file``.

        ``file`` is relative to the model's directory, by default its configuration.
        """
        found = self.memory["found"] = self.memory.get("found", 0) + 1
        if found > MAX_FINDINGS:
            return
        position = where if isinstance(where, Position) else self.located.at(*where)
        if file:
            position = where if isinstance(where, Position) else Position(1, 1)
        self.findings.append(
            Finding(
                rule=identity,
                severity=severity or rule(identity).severity,
                file=self.shown_file(file),
                line=position.line,
                column=position.column,
                message=message,
                fix=fix,
                edits=() if self.undecodable else edits,
                model=self.name,
            )
        )

    def span(self, *path: str | int) -> Span | None:
        """Where the file sets this field; None when it does not."""
        return self.located.span(*path)

    def replacing(self, path: FieldPath, text: str) -> tuple[Edit, ...]:
        """The edit that gives a field another value; none when the file does not set it."""
        span = self.located.span(*path)
        return (Edit(span.value, span.end, text),) if span else ()

    def removing(self, path: FieldPath) -> tuple[Edit, ...]:
        """The edit that takes a whole field out; none when the file does not set it.

        None either for a repeated field that is written at several places.
        """
        span = self.located.span(*path)
        if span is None:
            return ()
        first, last = self.located.span(*path, 0), span.end
        if first is not None:
            if first.start != span.start or any(
                (found := self.located.span(*path, place)) and found.start != span.start
                for place in range(1, 1 + _MAX_ELEMENTS)
            ):
                return ()
            last = self._closed(first, last)
        return (Edit(span.start, last, ""),)

    def _closed(self, first: Span, end: Position) -> Position:
        """Behind the bracket of ``name: [ 1, 2 ]``, where the elements stand in one."""
        lines = self.text.split("\n")
        between = "\n".join(lines[first.start.line - 1 : first.value.line])
        tail = len(lines[first.value.line - 1]) - first.value.column + 1
        if "[" not in between[first.start.column - 1 : len(between) - tail]:
            return end
        for number in range(end.line, len(lines) + 1):
            line = lines[number - 1]
            begin = end.column - 1 if number == end.line else 0
            rest = line[begin:].partition("#")[0]
            if "]" in rest:
                return Position(number, begin + rest.index("]") + 2)
        return end

    def appending(self, text: str) -> tuple[Edit, ...]:
        """The edit that adds lines at the end of the configuration."""
        lines = self.text.split("\n")
        end = Position(len(lines), len(lines[-1]) + 1)
        added = text if lines[-1] == "" else f"\n{text}"
        if "\r\n" in self.text:
            added = added.replace("\n", "\r\n")
        return (Edit(end, end, added),)


@dataclass(slots=True)
class LintedRepository:
    """Every model of a repository; a single model or configuration is one with one model."""

    path: Path
    models: dict[str, LintedModel]
    options: LintOptions
    #: Whether the whole repository is there: only then a model that is missing is missing.
    whole: bool = True
    #: What to read instead of these files: configurations that are not written yet.
    texts: Mapping[Path, str] = field(default_factory=dict)
    #: Findings that belong to no model.
    findings: list[Finding] = field(default_factory=list)

    def report(
        self,
        identity: str,
        message: str,
        file: str,
        *,
        fix: str = "",
        severity: Severity | None = None,
    ) -> None:
        """Add a finding about a file or directory that belongs to no model."""
        self.findings.append(
            Finding(
                rule=identity,
                severity=severity or rule(identity).severity,
                file=file,
                line=1,
                column=1,
                message=message,
                fix=fix,
            )
        )
