"""Gradescope's results.json: an entry for each criterion.

Source: gradescope-autograders.readthedocs.io, Specifications. It knows passed and failed alone:
what is neither has no status, and says so in its output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from . import common
from .common import clauses, escaped, reason, seconds, title, troubles

_TIERS = ("basic", "advanced", "expert")
#: Numbers of a class's leaderboard: clause, measurement, and which end is best.
_BOARD = (
    ("LAT-01", "throughput", "desc"),
    ("LAT-01", "p99", "asc"),
    ("BAT-03", "gain", "desc"),
)
#: Clauses of a criterion that are told.
_TOLD = 6


def text(report: Mapping[str, Any], user: str = "") -> str:
    """The document. A run that is not final has no score anywhere: Gradescope sums up those of
    entries where there is none of the whole, and says that the autograder failed where there are
    none at all. Nobody gets a zero for it."""
    document: dict[str, Any] = {
        "execution_time": seconds(report), "output": _line(report), "output_format": "md",
        "visibility": "visible", "stdout_visibility": "hidden",
        "tests": list(_tests(report)),
        "leaderboard": list(_board(report)),
        "extra_data": {
            "level": report["verdict"]["level"], "complete": report["complete"],
            "subject": report["subject"].get("repository_sha256"),
        },
    }  # fmt: skip
    if common.final(report):
        document["score"] = report["verdict"]["points"]
    return common.document(document)


def _line(report: Mapping[str, Any]) -> str:
    told = title(report)
    return told[0].upper() + told[1:]


def _tests(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    seen: dict[str, int] = {}
    for criterion in report["criteria"]:
        tier = criterion["tier"]
        seen[tier] = seen.get(tier, 0) + 1
        first = _TIERS.index(tier) + 1 if tier in _TIERS else len(_TIERS) + 1
        entry = {
            "name": f"{criterion['id']} {criterion['title']}", "number": f"{first}.{seen[tier]}",
            "output": _output(report, criterion), "output_format": "md", "visibility": "visible",
            "tags": [tier, criterion["status"]],
            "extra_data": {"status": criterion["status"]},
        }  # fmt: skip
        if common.final(report):
            entry |= {"score": criterion["points"], "max_score": criterion["max_points"]}
        if criterion["status"] in ("pass", "waived"):
            entry["status"] = "passed"
        elif criterion["status"] in ("fail", "missing", "partial"):
            entry["status"] = "failed"
        yield entry


def _output(report: Mapping[str, Any], criterion: Mapping[str, Any]) -> str:
    if criterion["status"] in ("pass", "waived"):
        return escaped(criterion["summary"] or "passed")
    found = list(troubles(report, criterion))
    lines = [f"**{criterion['status'].replace('_', ' ')}**"]
    for clause in found[:_TOLD]:
        lines.append(f"- {clause['id']} {escaped(clause['title'])}: {escaped(reason(clause))}")
        if clause["status"] == "fail" and clause["hint"]:
            lines.append(f"  try: {escaped(clause['hint'])}")
    if len(found) > _TOLD:
        lines.append(f"- and {len(found) - _TOLD} more")
    return "\n".join(lines)


def _board(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    known = clauses(report)
    for clause, name, order in _BOARD:
        for one in known.get(clause, {}).get("measurements", []):
            if one["name"] == name and one["value"] is not None:
                yield {"name": f"{name} ({one['unit']})", "value": one["value"], "order": order}
