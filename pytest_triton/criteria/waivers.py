"""Waivers: failures that a team lives with, said in a file, with a reason and an end."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.criteria.outcome import Result
from pytest_triton.criteria.status import Status
from pytest_triton.errors import ToolError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class WaiverError(ToolError):
    """The waiver file is wrong: unknown id, no reason, no end, or expired."""


@dataclass(frozen=True, slots=True)
class Waiver:
    """``[[waiver]] id, reason, until`` (a date, inclusive)."""

    id: str
    reason: str
    until: dt.date


def read(path: Path, known: Collection[str], today: dt.date) -> dict[str, Waiver]:
    """Read and check; raises WaiverError with the file and the entry."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WaiverError(
            f"{path}: {error}", 'write  [[waiver]] id = "…", reason = "…", until = 2026-12-31'
        ) from None
    waivers: dict[str, Waiver] = {}
    for entry in data.get("waiver", ()):
        name = entry.get("id", "")
        if name not in known:
            raise WaiverError(
                f"{path}: waiver for unknown clause {name!r}", "see  pytest-triton explain --list"
            )
        if name in waivers:
            raise WaiverError(f"{path}: two waivers for {name}")
        reason = str(entry.get("reason", "")).strip()
        if not reason:
            raise WaiverError(f"{path}: the waiver for {name} has no reason")
        until = entry.get("until")
        if isinstance(until, dt.datetime):
            until = until.date()
        if not isinstance(until, dt.date):
            raise WaiverError(f"{path}: the waiver for {name} has no date 'until'")
        if until < today:
            raise WaiverError(
                f"{path}: the waiver for {name} expired on {until}",
                "mend the subject, or decide again",
            )
        if unknown := entry.keys() - {"id", "reason", "until"}:
            raise WaiverError(
                f"{path}: the waiver for {name} has unknown keys {', '.join(sorted(unknown))}"
            )
        waivers[name] = Waiver(name, reason, until)
    if unknown := data.keys() - {"waiver"}:
        raise WaiverError(f"{path}: unknown keys {', '.join(sorted(unknown))}")
    return waivers


def apply(waivers: Mapping[str, Waiver], results: Mapping[str, Result]) -> None:
    """Turn waived failures into ``waived``; a waived clause that passes is an error."""
    for name, waiver in waivers.items():
        result = results[name]
        if result.status is Status.FAIL:
            result.status = Status.WAIVED
            result.reason = f"waived until {waiver.until}: {waiver.reason}\n{result.reason}"
        elif result.status is Status.PASS:
            result.status = Status.ERROR
            result.reason = f"waived until {waiver.until}, but it passes: remove the waiver"
