"""Writers of findings: text, JSON, workflow commands, SARIF."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from pytest_triton.reports.findings import explained, listed, place, summary, text, to_json
from pytest_triton.reports.findings_github import github
from pytest_triton.reports.findings_gitlab import gitlab
from pytest_triton.reports.findings_sarif import sarif, uri
from pytest_triton.repository.lint import Edit, Finding, rules
from pytest_triton.repository.positions import Position

EVIL = "a\x1b[31mb\x1b]0;t\x07c\r\n::error::d%0A\u202ee\x9b1m\x00"


def finding(
    rule: str = "CFG003", severity: Any = "error", file: str = "m/config.pbtxt", line: int = 2,
    column: int = 7, message: str = "wrong", fix: str = "", edits: tuple[Edit, ...] = (),
) -> Finding:  # fmt: skip
    return Finding(rule, severity, file, line, column, message, fix, edits)


def plain(findings: Sequence[Finding], models: int = 1, width: int | None = None) -> list[str]:
    return ["".join(piece for piece, _ in line) for line in text(findings, models, width)]


def test_columns_are_aligned() -> None:
    lines = plain(
        [finding(fix="do it"), finding("PT003", "warning", "longer/config.pbtxt", 17, 11, "odd")], 2
    )
    assert lines == [
        "m/config.pbtxt:2:7        error   CFG003  wrong",
        "                                          → do it",
        "longer/config.pbtxt:17:11 warning PT003   odd",
        "2 models · 1 error · 1 warning · explain one with  pytest-triton lint --explain CFG003",
    ]


@pytest.mark.parametrize("width", [40, 80, 100, 120, 200])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    long = "word " * 60
    lines = plain([finding(message=long, fix=long)], 1, width)[:-1]
    assert max(map(len, lines)) <= width
    assert sum(line.count("word") for line in lines) == 120


def test_no_width_no_wrapping() -> None:
    assert len(plain([finding(message="word " * 500)])) == 2


@pytest.mark.parametrize(
    ("severities", "said"),
    [
        ([], "3 models · nothing found"),
        (["info"], "3 models · 1 info · explain one with  pytest-triton lint --explain CFG003"),
        (
            ["warning", "error", "error"],
            "3 models · 2 errors · 1 warning · explain one with  "
            "pytest-triton lint --explain CFG004",
        ),
    ],
)
def test_summary(severities: list[str], said: str) -> None:
    made = [finding("CFG004" if s == "error" else "CFG003", s) for s in severities]
    assert summary(made, 3) == said


def test_text_obeys_nothing() -> None:
    for line in plain([finding(message=EVIL, fix=EVIL, file=f"::warning::{EVIL}\udce9")]):
        assert not set(line) & set("\x1b\x07\r\n\x00\x9b\u202e")
        assert not line.lstrip().startswith("::")


def test_places() -> None:
    assert place(finding(file=":x")) == "./:x:2:7"
    assert place(finding(file="caf\udce9")) == r"caf\xe9:2:7"


def test_json() -> None:
    edits = (Edit(Position(2, 7), Position(2, 8), "y"),)
    made = [finding(message=EVIL, edits=edits), finding("CFG004", "info", "caf\udce9", fix="do")]
    said = to_json(made)
    assert said.isascii()
    assert not set(said) & set("\x1b\x7f")
    rows = json.loads(said)
    assert set(rows[0]) == {"rule", "severity", "file", "line", "column", "message"}
    assert rows[0]["message"] == EVIL
    assert rows[1] == {
        "rule": "CFG004", "severity": "info", "file": r"caf\xe9", "line": 2, "column": 7,
        "message": "wrong", "fix": "do",
    }  # fmt: skip
    assert json.loads(to_json([])) == []


# -- GitHub ----------------------------------------------------------------------------


def test_a_workflow_command() -> None:
    made = finding(file="a,b:c/100%/config.pbtxt", message="50% off", fix="pay,: all")
    assert next(iter(github([made], 1))) == (
        "::error file=a%2Cb%3Ac/100%25/config.pbtxt,line=2,col=7,"
        "title=CFG003 (pytest-triton lint)::50%25 off%0A→ pay,: all"
    )
    assert next(iter(github([finding(severity="info")], 1))).startswith("::notice ")


def test_a_message_begins_no_other_command() -> None:
    evil = f"{EVIL}##[add-mask]x"
    for line in github([finding(message=evil, fix=evil, file=evil)] * 25, 1):
        assert "##[" not in line
        assert "\n" not in line
        assert not line.startswith("::") or line.startswith("::error file=")


def test_worst_first_and_what_github_would_drop_as_text() -> None:
    made = [finding(severity="warning", line=n) for n in range(1, 13)]
    made += [finding(line=n) for n in range(1, 12)]
    lines = list(github(made, 3))
    commands = [line.split()[0] for line in lines if line.startswith("::")]
    assert commands == ["::error"] * 10 + ["::warning"] * 10
    assert len([line for line in lines if line.startswith("m/config.pbtxt:")]) == 3
    assert "3 more above" in lines[-1]
    assert "more above" not in list(github(made[:5], 3))[-1]


# -- GitLab ----------------------------------------------------------------------------


def test_code_quality() -> None:
    made = [finding(fix="do it"), finding(line=9), finding("CFG004", "info", message=EVIL)]
    issues = json.loads(gitlab(made))
    assert issues[0] == {
        "description": "wrong → do it",
        "check_name": "CFG003",
        "fingerprint": issues[0]["fingerprint"],
        "severity": "critical",
        "location": {"path": "m/config.pbtxt", "lines": {"begin": 2}},
    }
    assert len({issue["fingerprint"] for issue in issues}) == 3
    assert "\x1b" not in issues[2]["description"]
    moved = json.loads(gitlab([finding(line=20, fix="do it")]))
    assert moved[0]["fingerprint"] == issues[0]["fingerprint"]


# -- SARIF -----------------------------------------------------------------------------

#: What the public schema of SARIF 2.1.0 requires of the parts that we write.
_MESSAGE = {
    "type": "object", "required": ["text"], "additionalProperties": False,
    "properties": {"text": {"type": "string"}, "markdown": {"type": "string"}},
}  # fmt: skip
_REGION = {
    "type": "object", "additionalProperties": False, "required": ["startLine", "startColumn"],
    "properties": {
        name: {"type": "integer", "minimum": 1}
        for name in ("startLine", "startColumn", "endLine", "endColumn")
    },
}  # fmt: skip
_ARTIFACT = {
    "type": "object", "required": ["uri"], "additionalProperties": False,
    "properties": {"uri": {"type": "string", "format": "uri-reference", "pattern": r"^[!-~]+$"}},
}  # fmt: skip
_LEVEL = {"enum": ["none", "note", "warning", "error"]}
SCHEMA = {
    "type": "object", "required": ["version", "runs"], "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"}, "version": {"const": "2.1.0"},
        "runs": {"type": "array", "items": {
            "type": "object", "required": ["tool"], "additionalProperties": False,
            "properties": {
                "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                "tool": {"type": "object", "required": ["driver"], "properties": {"driver": {
                    "type": "object", "required": ["name"], "properties": {
                        "name": {"type": "string"},
                        "semanticVersion": {"type": "string"},
                        "rules": {"type": "array", "uniqueItems": True, "items": {
                            "type": "object", "required": ["id"], "additionalProperties": False,
                            "properties": {
                                "id": {"type": "string"}, "shortDescription": _MESSAGE,
                                "fullDescription": _MESSAGE, "help": _MESSAGE,
                                "defaultConfiguration": {"properties": {"level": _LEVEL}},
                                "properties": {"properties": {"tags": {"uniqueItems": True}}},
                            },
                        }},
                    },
                }}},
                "results": {"type": "array", "items": {
                    "type": "object", "required": ["message"], "additionalProperties": False,
                    "properties": {
                        "ruleId": {"type": "string"},
                        "ruleIndex": {"type": "integer", "minimum": 0},
                        "level": _LEVEL, "message": _MESSAGE,
                        "locations": {"type": "array", "items": {
                            "properties": {"physicalLocation": {
                                "required": ["artifactLocation"], "additionalProperties": False,
                                "properties": {"artifactLocation": _ARTIFACT, "region": _REGION},
                            }},
                        }},
                        "fixes": {"type": "array", "uniqueItems": True, "items": {
                            "required": ["artifactChanges"], "additionalProperties": False,
                            "properties": {
                                "description": _MESSAGE,
                                "artifactChanges": {"type": "array", "minItems": 1, "items": {
                                    "required": ["artifactLocation", "replacements"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "artifactLocation": _ARTIFACT,
                                        "replacements": {"type": "array", "minItems": 1, "items": {
                                            "required": ["deletedRegion"],
                                            "additionalProperties": False,
                                            "properties": {
                                                "deletedRegion": _REGION,
                                                "insertedContent": _MESSAGE,
                                            },
                                        }},
                                    },
                                }},
                            },
                        }},
                    },
                }},
            },
        }},
    },
}  # fmt: skip


def test_sarif_is_valid() -> None:
    import jsonschema

    edits = (Edit(Position(2, 7), Position(3, 1), ""), Edit(Position(4, 1), Position(4, 1), "x"))
    every = [finding(rule.id, rule.severity, fix=EVIL, message=EVIL, edits=edits)
             for rule in rules().values()]  # fmt: skip
    for made in ([], every, [*every, finding(file="a b/ü/%41\udce9/config.pbtxt")]):
        document = json.loads(sarif(made))
        jsonschema.Draft202012Validator(SCHEMA).validate(document)
    run = document["runs"][0]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    fix = run["results"][0]["fixes"][0]["artifactChanges"][0]["replacements"]
    assert fix[0] == {
        "deletedRegion": {"startLine": 2, "startColumn": 7, "endLine": 3, "endColumn": 1},
        "insertedContent": {"text": ""},
    }


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("m/config.pbtxt", "m/config.pbtxt"),
        ("a b/100%/c#d?/ü", "a%20b/100%25/c%23d%3F/%C3%BC"),
        ("caf\udce9/x", "caf%E9/x"),
        ("caf\\xe9/x", "caf%E9/x"),
        ("a:b/x", "a%3Ab/x"),
        ("/abs/x", "file:///abs/x"),
    ],
)
def test_uris(file: str, expected: str) -> None:
    assert uri(file) == expected


def test_rules_are_taught_and_listed() -> None:
    for rule in rules().values():
        lines = ["".join(piece for piece, _ in line) for line in explained(rule)]
        assert lines[0] == f"{rule.id}  {rule.severity}  {rule.title}"
        assert max(len(line) for line in lines[1:] if not line.startswith(" " * 6)) <= 88
    lines = ["".join(piece for piece, _ in line) for line in listed(list(rules().values()))]
    assert lines[-1].startswith(f"{len(rules())} rules")
