"""GitLab's code quality report: clauses that fail, on the files that say why."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from .. import text as words
from . import common
from .common import reason

_SEVERITIES = {"fail": "critical", "error": "major", "missing": "major", "inconclusive": "minor"}


def text(report: Mapping[str, Any], user: str = "") -> str:
    """A list of issues, each with a fingerprint that stays while the finding does."""
    issues = []
    for clause in report["clauses"]:
        if clause["status"] not in _SEVERITIES:
            continue
        for place in clause["locations"]:
            key = "\0".join((clause["id"], place["file"], str(place.get("line"))))
            issues.append({
                "description": f"{clause['id']} {clause['title']}: {reason(clause)}",
                "check_name": clause["id"],
                "fingerprint": hashlib.sha256(key.encode("utf-8", "replace")).hexdigest(),
                "severity": _SEVERITIES[clause["status"]],
                "location": {"path": words.clean(place["file"], 400),
                             "lines": {"begin": place.get("line") or 1}},
            })  # fmt: skip
    return common.document(issues)
