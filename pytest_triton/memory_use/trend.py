"""Growth judged by its slope: Theil and Sen's line, its exact interval, and the verdict. Pure.

The slope is the median of the slopes between every two readings, so one high reading moves it
little. The interval is Kendall's: it counts pairs that rise and assumes no distribution of the
noise, only that one reading's does not depend on the one before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise
from statistics import median

from pytest_triton.load.stats import Verdict

#: Fewest readings that have an interval with bounds at the error of one look.
FEWEST = 6
#: Fewest readings at either end that a step from the one to the other is told by.
_END = 3
#: The chance of a wrong verdict by noise, and the looks that share it.
ERROR, LOOKS = 0.01, 2
_MORE = "more --cycles would tell"


@dataclass(frozen=True, slots=True)
class Trend:
    """A line through readings, and the interval of its slope (in units of y for one of x)."""

    slope: float
    low: float
    high: float
    intercept: float
    points: int


@dataclass(frozen=True, slots=True)
class Look:
    """A verdict on readings; ``final``: more readings would not be asked for.

    ``begin`` is the first reading that the verdict is about.
    """

    verdict: Verdict
    trend: Trend
    begin: int
    final: bool
    #: What would tell more.
    advice: str = ""


def theil_sen(x: Sequence[float], y: Sequence[float], *, error: float = ERROR / LOOKS) -> Trend:
    """The line through readings at rising ``x``; its interval is wrong in ``error`` of cases.

    Without bounds where the readings are too few. ValueError for fewer than two readings, or
    an ``x`` that does not rise.
    """
    if len(x) != len(y) or len(x) < 2 or any(b <= a for a, b in pairwise(x)):
        raise ValueError("a trend needs two readings or more, at rising x")
    pairs = combinations(range(len(x)), 2)
    slopes = sorted((y[j] - y[i]) / (x[j] - x[i]) for i, j in pairs)
    slope = median(slopes)
    left_out = _left_out(len(x), error)
    bounds = (-math.inf, math.inf)
    if left_out >= 0:
        bounds = slopes[left_out], slopes[-1 - left_out]
    intercept = median(value - slope * at for at, value in zip(x, y, strict=True))
    return Trend(slope, *bounds, intercept, len(x))


def _left_out(count: int, error: float) -> int:
    """Slopes to leave out at either end of the interval; -1: even the extremes say too little."""
    tail, most = 0.0, -1
    for falling, share in enumerate(_falling_pairs(count)):
        tail += share
        if 2 * tail > error:
            break
        most = falling
    return most


@cache
def _falling_pairs(count: int) -> tuple[float, ...]:
    """P(k of all pairs fall) for k = 0, 1, … in an order that is mere chance."""
    shares = [1.0]
    for size in range(2, count + 1):
        longer = [0.0] * (len(shares) + size - 1)
        for at, share in enumerate(shares):
            for more in range(size):
                longer[at + more] += share / size
        shares = longer
    return tuple(shares)


def verdict(trend: Trend, limit: float) -> Verdict:
    """Whether the slope keeps a limit, as far as its interval tells."""
    return "pass" if trend.high <= limit else "fail" if trend.low > limit else "inconclusive"


def look(x: Sequence[float], y: Sequence[float], limit: float, count: int) -> Look:
    """Judge ``count`` readings, or all where there are twice as many.

    A leak goes on, a warm-up ends: what grew in the first half is judged by the second half
    alone, and nothing fails whose last half keeps the limit. What could not be told, or is
    there only because another series was not settled, is judged by all of them. Steps that
    are rare are no part of a median slope: what passes must keep the limit from end to end too.
    """
    first = theil_sen(x[:count], y[:count])
    found = verdict(first, limit)
    if len(x) < 2 * count:
        if found == "pass" and ends(x, y) > limit:
            found = "inconclusive"
        return Look(found, first, 0, found == "pass", _MORE if found == "inconclusive" else "")
    begin = count if found == "fail" else 0
    trend = theil_sen(x[begin:], y[begin:])
    found, advice = verdict(trend, limit), ""
    half = begin + (len(x) - begin) // 2
    if found == "pass" and ends(x[begin:], y[begin:]) > limit:
        found, advice = "inconclusive", "it grows in steps: more --cycles would tell"
    elif found == "fail" and theil_sen(x[half:], y[half:]).slope <= limit:
        found, advice = "inconclusive", "it grew and stopped: more --warmup would tell"
    elif found == "inconclusive":
        advice = _MORE
    return Look(found, trend, begin, True, advice)


def ends(x: Sequence[float], y: Sequence[float]) -> float:
    """The rise from the median of the first third to that of the last, for one of x."""
    size = max(_END, len(x) // 3)
    if len(x) < 2 * size:
        return 0.0  # their slope has no bounds either
    return (median(y[-size:]) - median(y[:size])) / (median(x[-size:]) - median(x[:size]))
