"""Markdown for who handed it in: what is met, what is not, and what to do next.

Inputs are drawn anew for each run and are not told: there is no seed here, no evidence, no command
that repeats a request, and rows of numbers in reasons are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .common import FINE, SYMBOLS, escaped, points, reason, title, troubles

#: Numbers in a row from which they may be somebody's input.
_NUMBERS = re.compile(r"[\[(]?(?:[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?[,;\s]+){3,}[-+]?\d[\d.e+-]*[\])]?",
                      re.IGNORECASE)  # fmt: skip
#: Clauses that are told for each criterion.
_TOLD = 8


def text(report: Mapping[str, Any], user: str = "") -> str:
    """The document."""
    verdict = report["verdict"]
    lines = [f"# {escaped(title(report))}", ""]
    if not report["complete"]:
        lines += [
            "The run did not end: this is no verdict, and nothing is counted against you.",
            "",
        ]
    left = [one for one in report["criteria"] if one["status"] not in FINE]
    for criterion in report["criteria"]:
        status = criterion["status"]
        lines.append(
            f"- {SYMBOLS.get(status, '–')} **{criterion['id']} {escaped(criterion['title'])}**: "
            f"{status.replace('_', ' ')}, {points(criterion['points'])} of "
            f"{points(criterion['max_points'])} points"
        )
        for clause in list(troubles(report, criterion))[:_TOLD]:
            told = _NUMBERS.sub("…", reason(clause))
            lines.append(f"  - {clause['id']} {escaped(clause['title'])}: {escaped(told)}")
            if clause["hint"]:
                lines.append(f"    → {escaped(clause['hint'])}")
    if left:
        first = left[0]
        lines += ["", f"Next: **{first['id']} {escaped(first['title'])}**, worth "
                  f"{points(first['max_points'])} points."]  # fmt: skip
    elif verdict["level"] != "none":
        lines += ["", "Everything is met."]
    return "\n".join(lines) + "\n"
