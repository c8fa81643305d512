"""The tail at a light rate: how many requests are late that met nobody."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from pytest_triton.load.result import LoadResult
from pytest_triton.load.stats import Verdict, binomial_interval
from pytest_triton.timing.runs import Timed

#: A request is late beyond so many medians, and so many ms more than one.
TIMES, MORE_MS = 4.0, 40.0
#: Share of late requests that breaks the clause, and the one that keeps it.
BAD, GOOD = 0.003, 0.01
#: Foreign cores in a quarter of a second, and ms by which a beat is late, that excuse what is late.
FOREIGN, BEAT_MS = max(0.10, 0.01 * (os.cpu_count() or 1)), 5.0
#: Late requests nearer than this, in s, are of one moment; fewer such moments show no habit.
MOMENT_S, MOMENTS = 0.5, 3
_AROUND_S = 0.25


@dataclass(frozen=True, slots=True)
class Tail:
    """Late requests: ``late`` of ``asked``, of these ``quiet_late`` of ``quiet`` undisturbed."""

    late: int
    asked: int
    quiet_late: int
    quiet: int
    limit_ms: float
    worst_ms: float
    #: Moments at which undisturbed requests were late.
    moments: int = 0

    @property
    def verdict(self) -> Verdict:
        """Pass by all requests, noise only adds; fail by those that nobody disturbed.

        Error rates: Clopper and Pearson's interval at 99.8 % for a failure (false with 0.1 % at a
        true share of 0.3 %), at 90 % for a pass (false with 5 % at a true share of 1 %). Late
        requests of one moment are one event: a failure needs three.
        """
        often = binomial_interval(self.quiet_late, self.quiet, confidence=0.998)[0] > BAD
        if self.quiet and often and self.moments >= MOMENTS:
            return "fail"
        if self.asked and binomial_interval(self.late, self.asked, confidence=0.90)[1] < GOOD:
            return "pass"
        return "inconclusive"

    def __add__(self, other: Tail) -> Tail:
        """Two runs together."""
        return Tail(
            self.late + other.late, self.asked + other.asked, self.quiet_late + other.quiet_late,
            self.quiet + other.quiet, max(self.limit_ms, other.limit_ms),
            max(self.worst_ms, other.worst_ms), self.moments + other.moments,
        )  # fmt: skip

    def __str__(self) -> str:
        told = f"{self.late} of {self.asked} requests took longer than {self.limit_ms:.0f} ms"
        if self.late:
            told += f" (up to {self.worst_ms:.0f} ms)"
        if self.quiet < self.asked:
            told += f"; {self.quiet} of them met a quiet machine, {self.quiet_late} late"
        return told


def tail(timed: Timed) -> Tail:
    """Of a run at a light rate, latencies counted from the planned times."""
    latency = timed.latency_ms
    middle = float(np.median(latency))
    limit = max(TIMES * middle, middle + MORE_MS)
    late = latency > limit
    quiet = undisturbed(timed.result)
    return Tail(
        int(late.sum()), len(late), int((late & quiet).sum()), int(quiet.sum()), limit,
        float(latency.max()), _moments(np.asarray(timed.result.ended_s)[late & quiet]),
    )  # fmt: skip


def _moments(times: np.ndarray[tuple[int], np.dtype[np.float64]]) -> int:
    return int((np.diff(np.sort(times)) > MOMENT_S).sum()) + 1 if len(times) else 0


def undisturbed(result: LoadResult) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """For each good answer: whether nobody else used the machine while it was under way.

    By foreign CPU where it is known whose the server's processes are, else by the metronome.
    """
    ended = np.asarray(result.ended_s, np.float64)
    began = ended - np.asarray(result.latency_us, np.float64) / 1e6
    quiet = np.ones(len(ended), np.bool_)
    if result.foreign_series:
        for since, to, cores in result.foreign_series:
            if cores > FOREIGN:
                quiet &= (ended < since - _AROUND_S) | (began > to + _AROUND_S)
        return quiet
    for at, late in zip(result.beat_s, result.beat_us, strict=True):
        if late > BEAT_MS * 1e3:
            quiet &= (ended < at - late / 1e6) | (began > at)
    return quiet
