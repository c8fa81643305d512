"""Errors that people read: each says what happened and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


class ToolError(Exception):
    """Something that the tool or its surroundings lack, with the remedy."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  remedy    {self.remedy}" if self.remedy else self.message


class Misused(ToolError):
    """What was asked for cannot be meant: exit status 2 of the command, not a lack of the machine."""


class Refused(ToolError):
    """What was handed in breaks a rule: exit status 11 of the command, the fault of who did it."""


class SubjectFault(Exception):
    """The subject under test misbehaved: a clause that meets it fails, with this message."""


class Findings(AssertionError):
    """Several findings of one clause, one line each."""


class DeploymentFailed(SubjectFault, ToolError):
    """A server did not reach the state that was asked for, within its deadline.

    ``reason`` is quoted out of the server's log or its repository index; ``location`` is
    the file (and line, 0 when unknown) to look at; ``failures`` maps every model that is
    not ready to its own reason.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        model: str | None = None,
        location: tuple[str, int] | None = None,
        remedy: str = "",
        log_path: Path | None = None,
        log_tail: str = "",
        failures: Mapping[str, str] | None = None,
    ) -> None:
        ToolError.__init__(self, message, remedy)
        self.reason = reason
        self.model = model
        self.location = location
        self.log_path = log_path
        self.log_tail = log_tail
        self.failures = dict(failures or {})

    def __str__(self) -> str:
        lines = [self.message]
        lines += [f"  {line}" for line in self.reason.splitlines()]
        others = {name: why for name, why in self.failures.items() if name != self.model}
        for name, why in others.items():
            lines.append(f"  also      {name}: {why}")
        if self.location:
            path, line = self.location
            lines.append(f"  look at   {path}:{line}" if line else f"  look at   {path}")
        if self.remedy:
            lines.append(f"  remedy    {self.remedy}")
        if self.log_path:
            lines.append(f"  log       {self.log_path}" + (" (end below)" if self.log_tail else ""))
        if self.log_tail:
            lines += [f"    {line}" for line in self.log_tail.splitlines()]
        return "\n".join(lines)
