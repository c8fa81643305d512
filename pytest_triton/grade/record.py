"""report.json: built here, the one truth. The JSON Schema lies in ``reports/``."""

from __future__ import annotations

import math
import platform
import re
import sys
from importlib import metadata
from typing import Any

from pytest_triton import __version__
from pytest_triton.criteria.shows import summary
from pytest_triton.grade.scorecard import Scorecard
from pytest_triton.launch.machine import cpu
from pytest_triton.settings import Settings

SCHEMA_VERSION = "1.1"
HEADER = "--triton-header"
_USERINFO = re.compile(r"://[^/\s@?#]*@")
PACKAGES = (
    "numpy", "pytest", "pytest-html", "pytest-xdist", "torch", "transformers", "tritonclient",
)  # fmt: skip


def packages() -> dict[str, str]:
    """Versions of what can change a verdict."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def redacted(command: list[str]) -> list[str]:
    """The command line without the values of --triton-header: they may be secrets."""
    shown: list[str] = []
    for word in command:
        if (shown and shown[-1] == HEADER) or word.startswith(f"{HEADER}="):
            word = f"{word.partition(':')[0]}: ***"
        shown.append(word)
    return shown


def without_userinfo(value: Any) -> Any:
    """The same JSON, where URLs carry no user name or password."""
    if isinstance(value, str):
        return _USERINFO.sub("://***@", value)
    if isinstance(value, dict):
        return {key: without_userinfo(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_userinfo(item) for item in value]
    return value


def finite(entry: dict[str, Any]) -> dict[str, Any]:
    """A measurement as JSON can carry it: a value that is no number is null ("no data")."""
    shown = {
        key: value
        for key, value in entry.items()
        if key not in ("budget", "margin") or math.isfinite(value)
    }
    if not math.isfinite(shown["value"]):
        shown["value"] = None
    if not all(math.isfinite(bound) for bound in shown.get("interval", ())):
        del shown["interval"]
    if "samples" in shown:
        shown["samples"] = _without_nan(shown["samples"])
    return shown


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nan(item) for key, item in content.items()}
    if isinstance(content, list):
        return [_without_nan(item) for item in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _assurance(settings: Settings) -> str:
    if settings.kind == "endpoint":
        return "endpoint"
    return "sandbox" if settings.sandbox not in (None, "none") else "own_server"


def build(
    card: Scorecard,
    *,
    command: list[str],
    started: str,
    finished: str,
    complete: bool,
    timings: dict[str, float],
    notes: list[str],
) -> dict[str, Any]:
    """The report as JSON (schema ``reports/report.schema.json``)."""
    settings, subject = card.settings, card.subject
    results = card.results()
    criteria = card.criteria(results)
    verdict = card.verdict(results, criteria, complete=complete)
    return {
        "schema_version": SCHEMA_VERSION,
        "complete": complete,
        "started": started,
        "finished": finished,
        "suite": {"name": "pytest-triton", "version": __version__},
        "run": {
            "command": without_userinfo(redacted(command)),
            "seed": settings.seed,
            "profile": settings.profile,
            "tier": settings.tier,
            "scope": list(settings.scope),
            "assurance": _assurance(settings),
            "sandbox": settings.sandbox or "none",
            "settings": without_userinfo(settings.redacted()),
            "timings": timings,
        },
        "subject": {
            "kind": settings.kind,
            "urls": {},
            "repository_sha256": None,
            "release_expected": None,
            **without_userinfo(subject.get("subject", {})),
        },
        "environment": {
            "server": {"name": None, "version": None, "extensions": []},
            "gpus": [],
            "cpu": cpu(),
            "os": platform.platform(),
            "python": sys.version.split()[0],
            "packages": packages(),
            **subject.get("environment", {}),
        },
        "verdict": {
            "level": verdict.level,
            "points": verdict.points,
            "max_points": verdict.max_points,
            "exit_status": verdict.exit_status,
            "reasons": verdict.reasons,
            "waivers": len(card.waivers),
        },
        "notes": notes + list(subject.get("notes", [])),
        "criteria": [
            {
                "id": item.criterion.id,
                "tier": item.criterion.tier,
                "title": item.criterion.title,
                "status": item.status.value,
                "points": item.points,
                "max_points": item.criterion.points,
                "reason": item.reason,
                "summary": summary(item.criterion.shows, [results[name] for name in item.clauses]),
                "clauses": item.clauses,
            }
            for item in criteria
        ],
        "clauses": [
            {
                "id": clause.id,
                "area": clause.area,
                "title": clause.title,
                "must": clause.must,
                "source": clause.source,
                "criteria": list(clause.criteria),
                "status": results[clause.id].status.value,
                "reason_code": results[clause.id].reason_code,
                "reason": results[clause.id].reason,
                "hint": clause.hint,
                "duration_s": round(results[clause.id].duration_s, 6),
                "model": results[clause.id].model,
                "nodeids": results[clause.id].nodeids,
                "measurements": [finite(entry) for entry in results[clause.id].measurements],
                "evidence": results[clause.id].evidence,
                "locations": results[clause.id].locations,
            }
            for clause in card.catalogue.clauses.values()
        ],
    }
