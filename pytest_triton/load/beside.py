"""Two models under load in turns: a latency as a multiple of a calibration model's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from pytest_triton.load.budgets import Judgement
from pytest_triton.load.relative import PAIRS
from pytest_triton.load.result import MAX_S, LoadResult, merged, told

Measure: TypeAlias = "Callable[[float], LoadResult]"


class Beside:
    """``run`` and ``of``, measured as A B, B A, …: a drift of the machine favours neither.

    ``pair.require(p95_times=1.5)``: the percentile of ``run`` is at most 1.5 of that of ``of``.
    """

    def __init__(self, run: Measure, of: Measure, *, turn_s: float, pairs: int = PAIRS) -> None:
        if pairs < PAIRS:
            raise ValueError(f"pairs={pairs!r}: an interval of the ratio needs {PAIRS} at least")
        self._measure = run, of
        self._turn_s = turn_s
        self._found: list[LoadResult] = []
        self._pairs = 0
        self.more(pairs)

    @property
    def run(self) -> LoadResult:
        """The model, all its turns as one run."""
        return self._found[0]

    @property
    def of(self) -> LoadResult:
        """The calibration, all its turns as one run."""
        return self._found[1]

    def more(self, pairs: int) -> None:
        """Measure so many pairs more."""
        for _ in range(pairs):
            order = (0, 1) if self._pairs % 2 == 0 else (1, 0)
            turn = {side: self._measure[side](self._turn_s) for side in order}
            self._found = [
                merged(self._found[side], turn[side]) if self._found else turn[side]
                for side in (0, 1)
            ]
            self._pairs += 1

    def judge(self, *, max_s: float = MAX_S, **budgets: float | None) -> list[Judgement]:
        """As :meth:`LoadResult.judge`; while a multiple is open, pairs are added until the
        model was under load for ``max_s`` seconds."""
        while True:
            found = self.run.judge(of=self.of, max_s=max_s, **budgets)
            verdicts = {entry.verdict for entry in found}
            over = self.run.duration_s + 2 * self._turn_s > max_s
            if "fail" in verdicts or "inconclusive" not in verdicts or over:
                return found
            self.more(2)

    def require(self, *, max_s: float = MAX_S, **budgets: float | None) -> list[Judgement]:
        """As :meth:`LoadResult.require`."""
        found = self.judge(max_s=max_s, **budgets)
        told(found)
        return found
