"""Findings as GitLab's code quality report."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence

from pytest_triton.repository.lint import Finding

from .findings import file_name, one_line

_SEVERITIES = {"error": "critical", "warning": "minor", "info": "info"}


def gitlab(findings: Sequence[Finding]) -> str:
    """A list of issues; a finding keeps its fingerprint when lines above it come or go."""
    seen: Counter[str] = Counter()
    issues = []
    for finding in findings:
        text = "\0".join((finding.rule, finding.file, finding.message))
        seen[text] += 1
        data = f"{text}\0{seen[text]}".encode("utf-8", "surrogateescape")
        message = one_line(finding.message)
        if finding.fix:
            message += f" → {one_line(finding.fix)}"
        issues.append(
            {
                "description": message,
                "check_name": finding.rule,
                "fingerprint": hashlib.sha256(data).hexdigest(),
                "severity": _SEVERITIES[finding.severity],
                "location": {"path": file_name(finding), "lines": {"begin": finding.line}},
            }
        )
    return json.dumps(issues, indent=2)
