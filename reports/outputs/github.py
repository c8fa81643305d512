"""Annotations of a GitHub workflow: criteria that are not met, on the files that say why.

GitHub keeps ten errors of a step and drops the rest in silence: the last line says how many more
there are. A text cannot be a command: its line ends are escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .. import text as words
from .common import BAD, reason, title, troubles

LIMIT = 10


def text(report: Mapping[str, Any], user: str = "") -> str:
    """Workflow commands, a line each."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    broken = [one for one in report["criteria"] if one["status"] in BAD]
    for criterion in broken[:LIMIT]:
        found = next(troubles(report, criterion), None)
        properties = {"title": f"{criterion['id']} {criterion['title']}"}
        if found and found["locations"]:
            place = found["locations"][0]
            properties = {"file": place["file"], **properties}
            if place.get("line"):
                properties["line"] = str(place["line"])
        told = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
        message = f"{found['id']}: {reason(found)}" if found else reason(criterion)
        if found and found["hint"]:
            message += f"\n→ {found['hint']}"
        yield _harmless(f"::error {told}::{_data(message)}")
    left = f"; {len(broken) - LIMIT} more criteria are not met" if len(broken) > LIMIT else ""
    yield _harmless(f"::notice title=pytest-triton::{_data(title(report) + left)}")


def _data(told: str) -> str:
    kept = words.clean(told)
    return kept.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(told: str) -> str:
    return _data(told).replace(":", "%3A").replace(",", "%2C")


def _harmless(line: str) -> str:
    """The older form of a command is found anywhere in a line."""
    return line.replace("##[", "## [")
