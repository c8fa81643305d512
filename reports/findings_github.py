"""Findings as annotations of a GitHub workflow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_triton.repository.lint import Finding
from pytest_triton.repository.lint.finding import SEVERITIES

from .findings import file_name, one_line, place, summary

_COMMANDS = {"error": "error", "warning": "warning", "info": "notice"}
#: GitHub shows so many annotations of each kind for a step, and drops the others.
LIMIT = 10


def github(findings: Sequence[Finding], models: int) -> Iterator[str]:
    """One workflow command for each finding, worst first; what GitHub would drop as text."""
    left: list[Finding] = []
    for severity in SEVERITIES:
        of_kind = [finding for finding in findings if finding.severity == severity]
        for finding in of_kind[:LIMIT]:
            yield _command(finding)
        left += of_kind[LIMIT:]
    for finding in left:
        yield _harmless(
            f"{place(finding)} {finding.severity} {finding.rule} {one_line(finding.message)}"
        )
    said = summary(findings, models)
    if left:
        said += f" · {len(left)} more above, without annotation: GitHub shows {LIMIT} of each kind"
    yield said


def _command(finding: Finding) -> str:
    message = one_line(finding.message)
    if finding.fix:
        message += f"\n→ {one_line(finding.fix)}"
    properties = {
        "file": file_name(finding),
        "line": str(finding.line),
        "col": str(finding.column),
        "title": f"{finding.rule} (pytest-triton lint)",
    }
    told = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return _harmless(f"::{_COMMANDS[finding.severity]} {told}::{_data(message)}")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _harmless(line: str) -> str:
    """The older form of a command is found anywhere in a line."""
    return line.replace("##[", "## [")
