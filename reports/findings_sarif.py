"""Findings as SARIF 2.1.0, which code scanning reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from pytest_triton import __version__
from pytest_triton.repository.lint import Finding, Rule, rules

from .findings import one_line

_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(findings: Sequence[Finding]) -> str:
    """One run with every rule that was found, the findings, and their fixes."""
    known = rules()
    used = list(dict.fromkeys(finding.rule for finding in findings))
    run = {
        "tool": {
            "driver": {
                "name": "pytest-triton lint",
                "semanticVersion": __version__,
                "rules": [_rule(known[identity]) for identity in used],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, used.index(finding.rule)) for finding in findings],
    }
    return json.dumps({"version": "2.1.0", "$schema": _SCHEMA, "runs": [run]}, indent=2)


def _rule(rule: Rule) -> dict[str, Any]:
    explanation = " ".join(rule.explanation.split())
    text, markdown = [explanation], [explanation]
    for label, code in (("Wrong", rule.bad), ("Right", rule.good)):
        if code:
            text.append(f"{label}:\n{code.strip()}")
            markdown.append(f"{label}:\n\n```\n{code.strip()}\n```")
    text.append(f"Source: {rule.source}")
    markdown.append(f"Source: {rule.source}")
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": explanation},
        "help": {"text": "\n\n".join(text), "markdown": "\n\n".join(markdown)},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"tags": ["triton", rule.family]},
    }


def _result(finding: Finding, index: int) -> dict[str, Any]:
    message = one_line(finding.message)
    if finding.fix:
        message += f" → {one_line(finding.fix)}"
    artifact = {"uri": uri(finding.file)}
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity],
        "message": {"text": message},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": artifact,
                    "region": {"startLine": finding.line, "startColumn": finding.column},
                }
            }
        ],
    }
    if finding.edits:
        result["fixes"] = [_fix(finding, artifact)]
    return result


def _fix(finding: Finding, artifact: dict[str, str]) -> dict[str, Any]:
    replacements = [
        {
            "deletedRegion": {
                "startLine": edit.start.line,
                "startColumn": edit.start.column,
                "endLine": edit.end.line,
                "endColumn": edit.end.column,
            },
            "insertedContent": {"text": edit.text},
        }
        for edit in finding.edits
    ]
    change = {"artifactLocation": artifact, "replacements": replacements}
    return {"description": {"text": one_line(finding.fix or "fix")}, "artifactChanges": [change]}


def uri(file: str) -> str:
    """A path as a reference: relative ones stay relative, every odd byte is ``%NN``."""
    data = b"".join(_bytes(file))
    quoted = quote(data, safe="/-._~")
    if file.startswith("/"):
        return f"file://{quoted}"
    return quoted


def _bytes(file: str) -> Iterable[bytes]:
    """Of a name: controls, and bytes that were not UTF-8, are shown as ``\\xNN``."""
    for part in re.split(r"(\\x(?:[0189a-f][0-9a-f]|7f))", file):
        if re.fullmatch(r"\\x[0-9a-f]{2}", part):
            yield bytes.fromhex(part[2:])
        else:
            yield part.encode("utf-8", "surrogateescape")
