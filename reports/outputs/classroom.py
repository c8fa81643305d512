"""GitHub Classroom: the result that its grading reporter reads, version 3.

Source: classroom-resources/autograding-python-grader and autograding-grading-reporter. Put it, in
base64, into the step's output ``result``:

    echo "result=$(base64 -w0 classroom.json)" >> "$GITHUB_OUTPUT"
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import common
from .common import reason, title, troubles

#: Characters that the reporter shows of a text.
_LONG = 500


def text(report: Mapping[str, Any], user: str = "") -> str:
    """The document. The reporter sums scores whatever the status: what has not passed has its
    criterion's points, which are 0 unless they are partial; a run that is not final has no test
    and no points to miss."""
    final = common.final(report)
    tests = [_test(report, criterion) for criterion in report["criteria"] if final]
    statuses = {test["status"] for test in tests}
    status = "error" if not final else (
        "fail" if "fail" in statuses else "pass"
    )  # fmt: skip
    document = {
        "version": 3, "status": status, "message": title(report)[:_LONG],
        "max_score": round(report["verdict"]["max_points"]) if final else 0, "tests": tests,
    }  # fmt: skip
    return common.document(document)


def _test(report: Mapping[str, Any], criterion: Mapping[str, Any]) -> dict[str, Any]:
    found = next(troubles(report, criterion), None)
    place = found["locations"][0] if found and found["locations"] else {}
    told = f"{found['id']}: {reason(found)}" if found else criterion["summary"]
    status = {"pass": "pass", "waived": "pass"}.get(criterion["status"], "fail")
    return {
        "name": f"{criterion['id']} {criterion['title']}", "status": status,
        "message": "" if status == "pass" else told[:_LONG], "test_code": "", "task_id": 0,
        "filename": place.get("file", ""), "line_no": place.get("line") or 0, "duration": 0,
        "score": criterion["points"], "output": told[:_LONG],
    }  # fmt: skip
