"""Triton counts after it has answered: a count that is still to come belongs to before."""

from __future__ import annotations

import time
from typing import Any

from pytest_triton.fuzzed import REST, Fuzzed


class Late(Fuzzed):
    """One more success is counted a moment after the first look."""

    def __init__(self, after: float) -> None:
        self.comes = time.monotonic() + after

    def successes(self) -> dict[str, int]:
        return {"types": 12 + (time.monotonic() >= self.comes)}


def test_a_count_that_comes_late_is_waited_for() -> None:
    assert Late(REST / 2).at_rest() == {"types": 13}


def test_counters_that_never_rest_are_taken_as_they_are(monkeypatch: Any) -> None:
    monkeypatch.setattr("pytest_triton.fuzzed._PATIENCE", 0.2)
    counts = iter(range(10_000))
    busy = Late(0)
    monkeypatch.setattr(busy, "successes", lambda: {"types": next(counts)}, raising=False)
    assert busy.at_rest()["types"] > 0
