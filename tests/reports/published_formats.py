"""What the readers of our outputs ask for, as JSON Schema, written from their documentation.

ctrf.io, schema of specVersion 1.0.0; gradescope-autograders.readthedocs.io, Specifications;
classroom-resources/autograding-grading-reporter; docs.gitlab.com, Code Quality report; 1EdTech LTI
Assignment and Grade Services 2.0; shields.io, Endpoint Badge.
"""

from __future__ import annotations

from typing import Any

TEXT: dict[str, Any] = {"type": "string"}
NAME: dict[str, Any] = {"type": "string", "minLength": 1}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
NUMBER: dict[str, Any] = {"type": "number"}
SHOWN: dict[str, Any] = {"enum": ["visible", "hidden", "after_due_date", "after_published"]}
STYLE: dict[str, Any] = {"enum": ["text", "html", "simple_format", "md", "ansi"]}
SCALAR: dict[str, Any] = {"type": ["string", "number", "boolean"]}


def closed(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """An object with these keys and no others."""
    return {"type": "object", "properties": {**required, **optional},
            "required": list(required), "additionalProperties": False}  # fmt: skip


def many(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_TEST = closed(
    {"name": NAME, "status": {"enum": ["passed", "failed", "skipped", "pending", "other"]},
     "duration": COUNT},
    suite={"type": "array", "minItems": 1, "items": TEXT}, message=TEXT, rawStatus=TEXT,
    labels={"type": "object", "additionalProperties": {
        "anyOf": [SCALAR, {"type": "array", "minItems": 1, "items": SCALAR}]}},
    extra={"type": "object"},
)  # fmt: skip
PUBLISHED: dict[str, dict[str, Any]] = {
    "ctrf": closed(
        {"reportFormat": {"const": "CTRF"},
         "specVersion": {"type": "string", "pattern": r"^[0-9]+\.[0-9]+\.[0-9]+$"},
         "results": closed({
             "tool": closed({"name": NAME}, version=TEXT),
             "summary": closed(
                 dict.fromkeys(("tests", "passed", "failed", "skipped", "pending", "other",
                                "start", "stop"), COUNT), duration=COUNT),
             "tests": many(_TEST),
         })},
        timestamp={"type": "string", "format": "date-time"}, generatedBy=TEXT,
        extra={"type": "object"},
    ),
    "gradescope": closed(
        {"tests": many(closed(
            {"name": TEXT}, score=NUMBER, max_score=NUMBER,
            status={"enum": ["passed", "failed"]}, number={"type": "string", "pattern": r"^\d+\.\d+$"},
            output=TEXT, output_format=STYLE, visibility=SHOWN, tags=many(TEXT),
            extra_data={"type": "object"},
        ))},
        score=NUMBER, execution_time=NUMBER, output=TEXT, output_format=STYLE, visibility=SHOWN,
        stdout_visibility=SHOWN, extra_data={"type": "object"},
        leaderboard=many(closed({"name": NAME, "value": NUMBER}, order={"enum": ["asc", "desc"]})),
    ),
    "classroom": closed({
        "version": {"const": 3}, "status": {"enum": ["pass", "fail", "error"]}, "message": TEXT,
        "max_score": COUNT, "tests": many(closed({
            "name": NAME, "status": {"enum": ["pass", "fail", "error"]}, "message": TEXT,
            "test_code": TEXT, "task_id": COUNT, "filename": TEXT, "line_no": COUNT,
            "duration": NUMBER, "score": NUMBER, "output": {"type": "string", "maxLength": 500},
        })),
    }),
    "codequality": many(closed({
        "description": NAME, "check_name": NAME, "fingerprint": NAME,
        "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
        "location": closed({"path": NAME, "lines": closed({"begin": {"type": "integer",
                                                                     "minimum": 1}})}),
    })),
    "lti": {
        **closed(
            {"userId": NAME, "timestamp": {"type": "string", "format": "date-time"},
             "activityProgress": {"enum": ["Initialized", "Started", "InProgress", "Submitted",
                                           "Completed"]},
             "gradingProgress": {"enum": ["NotReady", "Failed", "Pending", "PendingManual",
                                          "FullyGraded"]}},
            scoreGiven={"type": "number", "minimum": 0},
            scoreMaximum={"type": "number", "exclusiveMinimum": 0}, comment=TEXT,
        ),
        "dependentRequired": {"scoreGiven": ["scoreMaximum"]},
    },
    "badge": closed({"schemaVersion": {"const": 1}, "label": NAME, "message": NAME}, color=NAME),
}  # fmt: skip
