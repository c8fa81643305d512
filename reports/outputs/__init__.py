"""What others read of a verdict: each output is a pure function of report.json.

``FORMATS`` has them by name. Import a module for one alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Format:
    """An output: the file that its readers look for, and what it is for."""

    name: str
    file: str
    what: str

    def text(self, report: Mapping[str, Any], user: str = "") -> str:
        """The file's text. ``user`` is whose score it is, where the format names one."""
        module = importlib.import_module(f"{__name__}.{self.name}")
        made: str = module.text(report, user)
        return made


FORMATS = {
    one.name: one
    for one in (
        Format("badge", "badge.json", "an endpoint of shields.io"),
        Format("classroom", "classroom.json", "GitHub Classroom: what its reporter reads"),
        Format("codequality", "gl-code-quality-report.json", "GitLab: findings on files"),
        Format("ctrf", "ctrf-report.json", "Common Test Report Format 1.0.0"),
        Format("github", "annotations.txt", "workflow commands: annotations on files"),
        Format("gradebook", "gradebook.csv", "a row for a gradebook"),
        Format("gradescope", "results.json", "Gradescope: /autograder/results/results.json"),
        Format("junit", "junit.xml", "JUnit XML, also for GitLab"),
        Format("learner", "student.md", "Markdown for who handed it in"),
        Format("lti", "lti-score.json", "the body of an LTI 1.3 score"),
        Format("summary", "summary.md", "Markdown for a step summary"),
    )
}
