"""Markdown for a step summary or a merge request: the score card as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .common import FINE, SYMBOLS, escaped, points, reason, title, troubles

#: Bytes that GitHub shows of a step's summary.
MOST = 1 << 20
#: Clauses that are told for each criterion.
_TOLD = 5


def text(report: Mapping[str, Any], user: str = "") -> str:
    """The document."""
    told = title(report)
    lines = [
        f"## pytest-triton: {escaped(told)}", "",
        "| | criterion | | points | |", "|---|---|---|---:|---|",
    ]  # fmt: skip
    for criterion in report["criteria"]:
        status = criterion["status"]
        fine = status in FINE
        lines.append(
            f"| {criterion['id']} | {escaped(criterion['title'], 80)} | {SYMBOLS.get(status, '–')} "
            f"{status.replace('_', ' ')} | {points(criterion['points'])} / "
            f"{points(criterion['max_points'])} | "
            f"{escaped(criterion['summary'] if fine else reason(criterion), 200)} |"
        )
    for criterion in report["criteria"]:
        found = [one for one in troubles(report, criterion) if one["status"] != "not_assessed"]
        if not found:
            continue
        lines += ["", f"### {criterion['id']} {escaped(criterion['title'], 80)}", ""]
        for clause in found[:_TOLD]:
            place = clause["locations"][0] if clause["locations"] else None
            at = f" ({escaped(place['file'])})" if place else ""
            lines.append(f"- **{clause['id']}** {escaped(clause['title'])}{at}: "
                         f"{escaped(reason(clause))}")  # fmt: skip
            if clause["hint"]:
                lines.append(f"  → {escaped(clause['hint'])}")
        if len(found) > _TOLD:
            lines.append(f"- and {len(found) - _TOLD} more")
    made = "\n".join(lines) + "\n"
    return (
        made
        if len(made.encode()) <= MOST
        else made.encode()[: MOST - 100].decode("utf-8", "ignore")
    )
