"""JUnit XML: a suite for each criterion, and one for the clauses of none, by area.

As pytest writes it and GitLab, Jenkins and GitHub's actions read it: failures are the subject's,
errors are ours. A clause of several criteria stands under the first, since GitLab ignores names
that come again. Long texts stay in report.json: GitLab fails on large nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from .common import seconds, xml

#: Characters of a reason.
_LONG = 4000


def text(report: Mapping[str, Any], user: str = "") -> str:
    """The document."""
    root = ET.Element("testsuites", name="pytest-triton", time=f"{seconds(report):.3f}")
    left = {clause["id"]: clause for clause in report["clauses"]}
    for criterion in report["criteria"]:
        mine = [left.pop(name) for name in criterion["clauses"] if name in left]
        name = f"{criterion['tier']}.{criterion['id']} {criterion['title']}"
        suite = _suite(root, name, mine, f"{criterion['tier']}.{criterion['id']}", report)
        properties = ET.Element("properties")
        for key in ("status", "points", "max_points", "reason"):
            ET.SubElement(properties, "property", name=key, value=xml(criterion[key], 400))
        suite.insert(0, properties)
    areas: dict[str, list[Mapping[str, Any]]] = {}
    for clause in left.values():
        areas.setdefault(clause["area"], []).append(clause)
    for area, mine in areas.items():
        _suite(root, area, mine, area, report)
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(root: ET.Element, name: str, clauses: Sequence[Mapping[str, Any]], classname: str,
           report: Mapping[str, Any]) -> ET.Element:  # fmt: skip
    suite = ET.SubElement(root, "testsuite", name=xml(name, 200), timestamp=report["started"])
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    total = 0.0
    for clause in clauses:
        took = clause["duration_s"] or 0.0
        case = ET.SubElement(
            suite, "testcase", classname=classname, time=f"{took:.3f}",
            name=f"{clause['id']} {xml(clause['title'], 200)}",
        )  # fmt: skip
        if clause["locations"]:
            first = clause["locations"][0]
            case.set("file", xml(first["file"], 400))
            if first.get("line"):
                case.set("line", str(first["line"]))
        counts["tests"] += 1
        total += took
        if kind := _child(clause):
            tag, counter = kind
            counts[counter] += 1
            told = xml(clause["reason"], _LONG)
            first_line = told.splitlines()[0] if told else clause["status"]
            child = ET.SubElement(case, tag, message=f"{clause['status']}: {first_line}"[:400])
            child.text = told
            if tag != "skipped":
                child.set("type", clause["status"])
    for key, count in counts.items():
        suite.set(key, str(count))
    suite.set("time", f"{total:.3f}")
    return suite


def _child(clause: Mapping[str, Any]) -> tuple[str, str] | None:
    status = clause["status"]
    if status in ("pass", "waived"):
        return None
    if status in ("fail", "missing", "partial", "inconclusive"):
        return "failure", "failures"
    if status == "error":
        return "error", "errors"
    return "skipped", "skipped"
