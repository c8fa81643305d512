"""From a report of a graded submission to the exit status of ``grade``. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_triton.grade.judge import LOG, Judged
from pytest_triton.options import TIERS

DONE, NOT_REACHED, REFUSED, INFRASTRUCTURE, INCONCLUSIVE = 0, 10, 11, 12, 13


def conclude(report: Mapping[str, Any] | None, judged: Judged, *, tier: str) -> tuple[int, str]:
    """The exit status, and why where it is not 0.

    Of several the worse counts: infrastructure, then inconclusive, then a level that was not
    reached. A judge whose time is over was held up by the submission: that is its own fault.
    """
    if judged.late:
        return NOT_REACHED, f"it was not judged to its end within {judged.seconds:.0f} s"
    if report is None:
        return (
            INFRASTRUCTURE,
            f"the judge ended with status {judged.status} and no report: see {LOG}",
        )
    if not report["complete"] or judged.status not in (0, 1):
        return INFRASTRUCTURE, f"the judge ended with status {judged.status}: see {LOG}"
    asked = TIERS[: TIERS.index(tier) + 1]
    by_status: dict[str, list[str]] = {}
    for item in report["criteria"]:
        if item["tier"] in asked:
            by_status.setdefault(item["status"], []).append(item["id"])
    if broken := by_status.get("error"):
        return INFRASTRUCTURE, f"the judge failed at {', '.join(broken)}: see {LOG}"
    if doubtful := by_status.get("inconclusive"):
        return INCONCLUSIVE, f"measurements cannot tell: {', '.join(doubtful)}"
    if judged.status or report["verdict"]["exit_status"]:
        open_ones = [name for status, names in by_status.items()
                     if status not in ("pass", "waived") for name in names]  # fmt: skip
        return (
            NOT_REACHED,
            f"level {tier} is not reached: {', '.join(open_ones) or 'see the report'}",
        )
    return DONE, ""
