"""Lint: what is wrong with a model repository, where, why, and what to write instead.

Nothing is executed, unpickled or imported, no server is started, and torch is not needed.

    for finding in lint("model_repository").findings:
        print(finding.file, finding.line, finding.rule, finding.message)
"""

from pytest_triton.repository.lint.catalogue import Rule, rule, rules
from pytest_triton.repository.lint.context import LintOptions
from pytest_triton.repository.lint.engine import LintResult, lint
from pytest_triton.repository.lint.finding import Edit, Finding, Severity

__all__ = [
    "Edit",
    "Finding",
    "LintOptions",
    "LintResult",
    "Rule",
    "Severity",
    "lint",
    "rule",
    "rules",
]
