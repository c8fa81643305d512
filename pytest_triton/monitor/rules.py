"""Prometheus' rule files: what an alert has to have before anybody looks at its values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_triton.monitor.yamls import LINE, Unreadable, mappings, plain, read_yaml

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0,
          "y": 31536000.0}  # fmt: skip
_DURATION = re.compile(
    r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?"
)
#: Words that say how urgent an alert is; the label is free, and these are in use.
SEVERITIES = frozenset({"critical", "error", "high", "page", "warning", "warn", "ticket", "medium",
                        "info", "low", "none"})  # fmt: skip


def seconds(text: Any) -> float | None:
    """Seconds of Prometheus' ``1h30m``; None for what is none."""
    said = str(text).strip()
    match = _DURATION.fullmatch(said)
    if said == "0":
        return 0.0
    if not said or match is None:
        return None
    values = zip(match.groups(), ("y", "w", "d", "h", "m", "s", "ms"), strict=True)
    return sum(float(count) * _UNITS[unit] for count, unit in values if count)


@dataclass(frozen=True, slots=True)
class Rule:
    """An alert (``alert`` True) or a recording rule, and where it stands."""

    name: str
    alert: bool
    expr: str
    path: Path
    line: int
    for_s: float | None = None
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name} ({self.path.name}:{self.line})"


def read_rules(path: Path) -> list[Rule]:
    """The rules of a file, in order. Raises Unreadable."""
    document = read_yaml(path)
    if not isinstance(document, dict) or not isinstance(document.get("groups"), list):
        raise Unreadable(path, "has no list of groups")
    return [_rule(path, each) for group in mappings(document["groups"])
            for each in mappings(group.get("rules"))]  # fmt: skip


def _rule(path: Path, entry: dict[str, Any]) -> Rule:
    line = int(entry.get(LINE, 0))
    alert = "alert" in entry
    name, expr = entry.get("alert", entry.get("record")), entry.get("expr")
    if not isinstance(name, str) or not isinstance(expr, (str, int, float)):
        raise Unreadable(path, "a rule without alert or record, or without expr", line)
    for_s = seconds(entry["for"]) if "for" in entry else None
    return Rule(name, alert, str(expr), path, line, for_s, _texts(entry.get("labels")),
                _texts(entry.get("annotations")))  # fmt: skip


def _texts(value: Any) -> dict[str, str]:
    return {str(k): str(v) for k, v in plain(value).items()} if isinstance(value, dict) else {}


def lacks(rule: Rule) -> list[str]:
    """What an alert has to have and this one has not (openshift's alerting-consistency.md)."""
    found = []
    severity = rule.labels.get("severity", "")
    if not severity:
        found.append("no label severity")
    elif severity.lower() not in SEVERITIES and "{{" not in severity:
        found.append(f"severity {severity!r} (critical, warning or info)")
    if rule.for_s is None:
        found.append("no for: one bad scrape wakes somebody")
    if not {"summary", "description", "message"} & set(rule.annotations):
        found.append("no annotation summary or description")
    return found
