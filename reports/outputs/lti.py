"""The body of a score of LTI 1.3 Assignment and Grade Services. Nothing is sent from here.

Source: 1EdTech LTI-AGS 2.0, Score publish service. A run that did not end, or ended with an error of
ours, is NotReady and has no score: a platform would show its zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import common
from .common import title


def text(report: Mapping[str, Any], user: str = "") -> str:
    """The document; ``user`` is the platform's id of who handed it in."""
    statuses = {criterion["status"] for criterion in report["criteria"]}
    progress = "FullyGraded"
    if not common.final(report):
        progress = "NotReady"
    elif "manual" in statuses:
        progress = "PendingManual"
    document: dict[str, Any] = {
        "userId": user, "timestamp": report["finished"], "activityProgress": "Completed",
        "gradingProgress": progress, "comment": title(report),
    }  # fmt: skip
    if progress != "NotReady":
        document["scoreGiven"] = report["verdict"]["points"]
        document["scoreMaximum"] = report["verdict"]["max_points"]
    return common.document(document)
