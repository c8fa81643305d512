"""A row for a gradebook: who, level, points, and the points of each criterion.

A cell that a spreadsheet would take for a formula begins with an apostrophe (OWASP, CSV injection).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from .. import text as words
from . import common

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "|", "%")


def text(report: Mapping[str, Any], user: str = "") -> str:
    """A head and a row."""
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\r\n")
    writer.writerow(head(report))
    writer.writerow(row(report, user))
    return made.getvalue()


def head(report: Mapping[str, Any]) -> list[str]:
    """Names of the columns."""
    return ["id", "level", "points", "max_points", "complete", "seed",
            *(cell(one["id"]) for one in report["criteria"])]  # fmt: skip


def row(report: Mapping[str, Any], user: str) -> list[str]:
    """One submission. What is not final, and a criterion without a verdict, has an empty cell and
    never a zero."""
    verdict, final = report["verdict"], common.final(report)
    cells = [
        "" if one["status"] in ("error", "not_assessed", "manual", "inconclusive")
        else f"{one['points']:g}" for one in report["criteria"]
    ]  # fmt: skip
    return [
        cell(user), verdict["level"] if final else "", f"{verdict['points']:g}" if final else "",
        f"{verdict['max_points']:g}",
        "yes" if report["complete"] else "no", str(report["run"]["seed"]), *cells,
    ]  # fmt: skip


def cell(value: object) -> str:
    """Text that no spreadsheet computes."""
    kept = " ".join(words.clean(value, 400).split())
    return f"'{kept}" if kept.startswith(_FORMULA) else kept
