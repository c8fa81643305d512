"""Stage 02: what the lint says of the repository that is served."""

from __future__ import annotations

import pytest

from pytest_triton.evidence import Evidence
from pytest_triton.launch.reasons import shown
from pytest_triton.linting import errors_of, judged
from pytest_triton.repository.lint.finding import SEVERITIES, told
from pytest_triton.subject import Subject


@pytest.mark.clause("LNT-01")
def test_lint_finds_no_error(triton_subject: Subject, triton_evidence: Evidence) -> None:
    deployment = triton_subject.deployment
    assert deployment.repository is not None
    result = judged(deployment, str(triton_subject.server.get("version", "")))
    triton_evidence.attach("lint.json", [finding.to_json() for finding in result.findings])
    for severity in SEVERITIES:
        triton_evidence.measure(f"{severity}s", result.count(severity), "findings")
    for name in ("", *triton_subject.expected):
        with triton_evidence.case(name or "repository"):
            errors = errors_of(result, name)
            for finding in errors:
                triton_evidence.locate(shown(deployment.repository / finding.file), finding.line)
            assert not errors, "\n".join(told(finding) for finding in errors)
