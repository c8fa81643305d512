"""Findings of the lint as text for a terminal, and as JSON. What was linted may be hostile."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence

from pytest_triton.repository.lint import Finding, Rule
from pytest_triton.repository.lint.finding import SEVERITIES

from .text import clean

#: Pieces of one line, each with its colour ("" for none).
Line = list[tuple[str, str]]

COLOURS = {"error": "red", "warning": "yellow", "info": "cyan"}
#: Columns of a message below which it goes on lines of its own.
_NARROW = 44
#: Characters of one message that are shown.
_LIMIT = 2000


def one_line(text: str, limit: int = _LIMIT) -> str:
    """Text that stays on its line and changes no terminal."""
    return clean(text, limit).replace("\n", "\N{SYMBOL FOR LINE FEED}").replace("\t", " ")


def file_name(finding: Finding) -> str:
    """The file as it is shown: never the beginning of a workflow command."""
    shown = "".join(
        rf"\x{ord(char) - 0xDC00:02x}" if "\udc80" <= char <= "\udcff" else char
        for char in finding.file
    )
    shown = one_line(shown, 1000)
    return f"./{shown}" if shown.startswith(":") else shown


def place(finding: Finding) -> str:
    """``file:line:column``, which editors and terminals open."""
    return f"{file_name(finding)}:{finding.line}:{finding.column}"


def text(findings: Sequence[Finding], models: int, width: int | None = None) -> Iterator[Line]:
    """The table, wrapped to so many columns (None: one line each), and the summary."""
    places = [place(finding) for finding in findings]
    indent = max(map(len, places), default=0)
    kinds = max((len(finding.severity) for finding in findings), default=0)
    names = max((len(finding.rule) for finding in findings), default=0)
    rest = indent + kinds + names + 4
    below = width is not None and width - rest < _NARROW
    margin = 4 if below else rest
    for finding, where in zip(findings, places, strict=True):
        lines = _wrapped(one_line(finding.message), width, margin)
        head: Line = [
            (where if below else f"{where:<{indent}}", ""),
            (f" {finding.severity:<{kinds}}", COLOURS[finding.severity]),
            (f" {finding.rule:<{names}}  ", "bold"),
        ]
        if below:
            yield head
            yield [(" " * margin + lines[0], "")]
        else:
            yield [*head, (lines[0], "")]
        for line in lines[1:]:
            yield [(" " * margin + line, "")]
        if finding.fix:
            for number, line in enumerate(_wrapped(one_line(finding.fix), width, margin + 2)):
                yield [(" " * margin + ("  " if number else "→ ") + line, "green")]
    yield [(summary(findings, models), "")]


def summary(findings: Sequence[Finding], models: int) -> str:
    """``3 models · 2 errors · 1 warning · explain one with …``"""
    said = [_count(models, "model")]
    for severity in SEVERITIES:
        if many := sum(finding.severity == severity for finding in findings):
            said.append(_count(many, severity) if severity != "info" else f"{many} info")
    if not findings:
        return f"{said[0]} · nothing found"
    worst = min(findings, key=lambda finding: SEVERITIES.index(finding.severity))
    return " · ".join([*said, f"explain one with  pytest-triton lint --explain {worst.rule}"])


def to_json(findings: Sequence[Finding]) -> str:
    """A list of objects; ASCII, so that it does no harm on a terminal."""
    rows = [finding.to_json() for finding in findings]
    for row, finding in zip(rows, findings, strict=True):
        row["file"] = _readable(finding.file)
        row.pop("edits", None)
    return json.dumps(rows, indent=2).replace("\x7f", "\\u007f")


def _readable(name: str) -> str:
    """A name with bytes that are not UTF-8 as ``\\xNN``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def explained(rule: Rule, width: int = 88) -> Iterator[Line]:
    """What a rule is about: why, what Triton does, wrong and right, where it comes from."""
    yield [(rule.id, "bold"), ("  ", ""), (rule.severity, COLOURS[rule.severity]),
           (f"  {rule.title}", "bold")]  # fmt: skip
    yield []
    for paragraph in rule.explanation.strip().split("\n\n"):
        for line in _wrapped(" ".join(paragraph.split("\n")), width, 2):
            yield [("  " + line, "")]
        yield []
    for label, code, colour in (("wrong", rule.bad, "red"), ("right", rule.good, "green")):
        if code:
            yield [(f"  {label}", colour)]
            for line in code.strip("\n").split("\n"):
                yield [("      " + line, "")]
            yield []
    for number, line in enumerate(_wrapped(rule.source, width, 12)):
        yield [("            " + line if number else f"  source    {line}", "")]
    yield [(f"  off       # triton-lint: disable={rule.id}   in config.pbtxt, with the reason", "")]


def listed(rules: Sequence[Rule]) -> Iterator[Line]:
    """All rules, by family."""
    family = None
    for rule in rules:
        if rule.family != family:
            if family is not None:
                yield []
            family = rule.family
            yield [(family, "bold")]
        yield [(f"  {rule.id:<7}", ""), (f"{rule.severity:<8}", COLOURS[rule.severity]),
               (rule.title, "")]  # fmt: skip
    yield []
    count = len(rules)
    yield [(f"{count} rules · explain one with  pytest-triton lint --explain {rules[0].id}", "")]


def _wrapped(text: str, width: int | None, margin: int) -> list[str]:
    if width is None:
        return [text]
    room = max(width - margin, 20)
    lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
    return lines or [""]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
