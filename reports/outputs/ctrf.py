"""Common Test Report Format 1.0.0: a test for every clause.

Source: the specification and schema of ctrf.io, specVersion 1.0.0. What it has no place for (points,
criteria, measurements) goes into ``labels`` and ``extra``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from .. import text as words
from . import common
from .common import milliseconds

_STATUS = {
    "pass": "passed", "waived": "passed", "fail": "failed", "error": "failed",
    "missing": "failed", "partial": "failed", "inconclusive": "other", "manual": "pending",
}  # fmt: skip


def text(report: Mapping[str, Any], user: str = "") -> str:
    """The document."""
    tests = [_test(clause) for clause in report["clauses"]]
    counts = Counter(test["status"] for test in tests)
    start, stop = milliseconds(report["started"]), milliseconds(report["finished"])
    summary = {
        "tests": len(tests), **{name: counts[name] for name in
                                ("passed", "failed", "skipped", "pending", "other")},
        "start": start, "stop": stop, "duration": stop - start,
    }  # fmt: skip
    document = {
        "reportFormat": "CTRF", "specVersion": "1.0.0", "timestamp": report["finished"],
        "generatedBy": "pytest-triton",
        "results": {
            "tool": {"name": "pytest-triton", "version": str(report["suite"]["version"])},
            "summary": summary, "tests": tests,
        },
        "extra": {"pytest_triton": {"verdict": {
            key: report["verdict"][key] for key in ("level", "points", "max_points")
        }, "complete": report["complete"], "seed": report["run"]["seed"]}},
    }  # fmt: skip
    return common.document(document)


def status(clause: Mapping[str, Any]) -> str:
    """CTRF's word for a status: skipped does not apply here, pending was not come to."""
    if clause["status"] == "not_assessed":
        return "skipped" if clause["reason_code"] == "not_applicable" else "pending"
    return _STATUS[clause["status"]]


def _test(clause: Mapping[str, Any]) -> dict[str, Any]:
    labels: dict[str, Any] = {"clause": clause["id"], "area": clause["area"]}
    if clause["criteria"]:
        labels["criteria"] = list(clause["criteria"])
    if clause["model"]:
        labels["model"] = words.clean(clause["model"], 200)
    test = {
        "name": f"{clause['id']} {words.clean(clause['title'], 200)}", "status": status(clause),
        "duration": round(1000 * (clause["duration_s"] or 0)), "suite": [clause["area"]],
        "rawStatus": clause["status"], "labels": labels,
    }  # fmt: skip
    if clause["reason"]:
        test["message"] = words.clean(clause["reason"])
    if clause["measurements"]:
        test["extra"] = {"pytest_triton": {"measurements": [
            {key: one[key] for key in ("name", "unit", "value", "interval", "budget") if key in one}
            for one in clause["measurements"]
        ]}}  # fmt: skip
    return test
