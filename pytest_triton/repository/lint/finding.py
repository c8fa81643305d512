"""What lint found: rule, place, message, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pytest_triton.repository.positions import Position

Severity = Literal["error", "warning", "info"]
#: Worst first.
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the text from ``start`` up to ``end`` (exclusive) by ``text``."""

    start: Position
    end: Position
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect at one place.

    ``file`` is relative to the linted directory, with ``/``; bytes that are not UTF-8 are
    shown as ``\\xNN``. ``line`` and ``column`` count from 1; both are 1 for a whole file or
    directory.
    """

    rule: str
    severity: Severity
    file: str
    line: int
    column: int
    message: str
    #: What to write or do instead, in one line; empty when there is no one answer.
    fix: str = ""
    #: The same as changes of ``file``'s text, where it can be done mechanically.
    edits: tuple[Edit, ...] = ()
    #: The model's directory; empty for what concerns the repository.
    model: str = ""

    def to_json(self) -> dict[str, Any]:
        """As ``--format json`` has it: ``fix`` and ``edits`` only where there are any."""
        data = {
            "rule": self.rule,
            "severity": self.severity,
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "message": self.message,
        }
        if self.fix:
            data["fix"] = self.fix
        if self.edits:
            data["edits"] = [
                {
                    "line": edit.start.line,
                    "column": edit.start.column,
                    "end_line": edit.end.line,
                    "end_column": edit.end.column,
                    "text": edit.text,
                }
                for edit in self.edits
            ]
        return data


def told(finding: Finding) -> str:
    """A finding as lines for a person: place, severity, rule, message, and what to write."""
    place = f"{finding.file}:{finding.line}:{finding.column}"
    line = f"{place} {finding.severity} {finding.rule} {finding.message}"
    return line + (f"\n    → {finding.fix}" if finding.fix else "")


def apply_edits(text: str, edits: tuple[Edit, ...]) -> str:
    """The text with every edit carried out. Raises ValueError when two of them overlap."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)

    def offset(position: Position) -> int:
        return starts[position.line - 1] + position.column - 1

    last = len(text) + 1
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end), reverse=True):
        begin, end = offset(edit.start), offset(edit.end)
        if not begin <= end <= last:
            raise ValueError("edits overlap")
        text, last = text[:begin] + edit.text + text[end:], begin
    return text
