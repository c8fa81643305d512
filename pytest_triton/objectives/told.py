"""Windows on a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from pytest_triton.load.records import finite
from pytest_triton.objectives.seen import Seen

_MARKS = {"pass": "✓", "fail": "✗", "inconclusive": "?"}


def lines(seen: Seen) -> Iterator[str]:
    """The load, a line for each objective, then what the server's account hides."""
    yield f"{seen.objective.model} · {seen.load} · {seen.run.duration_s:.3g} s"
    for found in seen.judged:
        yield f"  {_MARKS[found.verdict]} {found.reason}"
    if seen.accounts is None:
        yield f"  the server's account is not known{f': {seen.run.unread}' if seen.run.unread else ''}"
        return
    for text in seen.accounts.findings():
        yield f"  ! {text}"
    if seen.contradiction:
        yield f"  not to be believed: {seen.contradiction}"


def to_json(windows: Sequence[Seen]) -> list[dict[str, Any]]:
    """Numbers of every window; unknown ones are null."""
    made: list[dict[str, Any]] = finite([
        {
            "objective": asdict(one.objective), "load": one.load,
            "duration_s": one.run.duration_s, "errors": dict(one.run.error_texts),
            "accounts": asdict(one.accounts) if one.accounts else None,
            "findings": one.accounts.findings() if one.accounts else [],
            "contradiction": one.contradiction,
            "judged": [
                {
                    "name": found.name, "verdict": found.verdict, "value": found.value,
                    "budget": found.budget, "reason": found.reason,
                    "interval": found.interval,
                }
                for found in one.judged
            ],
        }
        for one in windows
    ])  # fmt: skip
    return made
