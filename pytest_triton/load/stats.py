"""Statistics of measured verdicts, as pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np

Numbers: TypeAlias = "Sequence[float] | np.ndarray[Any, Any]"
Verdict: TypeAlias = Literal["pass", "fail", "inconclusive"]


def percentile(values: Numbers, q: float) -> float:
    """The smallest value that at least ``q`` percent do not exceed (nearest rank).

    NaN for no values. A percentile that was really seen, never one between two.
    """
    if not 0 < q <= 100:
        raise ValueError(f"a percentile lies in (0, 100], not at {q}")
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        return math.nan
    # 1e-9: 0.95 * 100 must be 95, whatever binary fractions say
    rank = max(1, math.ceil(q / 100 * data.size - 1e-9))
    return float(np.partition(data, rank - 1)[rank - 1])


def bootstrap_interval(
    values: Numbers,
    statistic: Callable[[np.ndarray[Any, Any]], float] = lambda sample: float(np.median(sample)),
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    block: int = 1,
) -> tuple[float, float]:
    """Percentile bootstrap. ``block`` > 1 draws runs of neighbours, for values in order of
    time that depend on each other. (nan, nan) for no values."""
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        return math.nan, math.nan
    block = max(1, min(block, data.size))
    rng = np.random.default_rng(seed)
    count = math.ceil(data.size / block)
    offsets = np.arange(block)
    found = np.empty(resamples)
    for turn in range(resamples):
        starts = rng.integers(0, data.size - block + 1, count)
        picked = (starts[:, None] + offsets).reshape(-1)[: data.size]
        found[turn] = statistic(data[picked])
    tail = (1 - confidence) / 2 * 100
    low, high = np.percentile(found, [tail, 100 - tail])
    return float(low), float(high)


def ratio_interval(
    numerators: Numbers, denominators: Numbers, *, confidence: float = 0.95
) -> tuple[float, float, float]:
    """(geometric mean, low, high) of paired ratios: Student's t on their logarithms.

    With one pair the interval is (0, inf): one measurement says nothing about its own error.
    """
    top, bottom = np.asarray(numerators, float), np.asarray(denominators, float)
    if top.shape != bottom.shape or top.ndim != 1 or not top.size:
        raise ValueError("ratios need two equally long, non-empty series")
    if not (np.all(top > 0) and np.all(bottom > 0)):
        raise ValueError("ratios need positive values")
    logs = np.log(top / bottom)
    mean = float(logs.mean())
    if logs.size == 1:
        return math.exp(mean), 0.0, math.inf
    error = float(logs.std(ddof=1)) / math.sqrt(logs.size)
    half = student_quantile((1 + confidence) / 2, logs.size - 1) * error
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


@lru_cache(maxsize=256)
def student_quantile(p: float, freedom: int) -> float:
    """Quantile of Student's t distribution, to about 1e-9, for 0.5 <= p < 1."""
    if not 0.5 <= p < 1 or freedom < 1:
        raise ValueError("student_quantile needs 0.5 <= p < 1 and at least one degree of freedom")
    low, high = 0.0, 1.0
    while _student_cdf(high, freedom) < p:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        if _student_cdf(middle, freedom) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _student_cdf(t: float, freedom: int) -> float:
    # closed sums for whole degrees of freedom (Abramowitz and Stegun 26.7.3, 26.7.4)
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    if freedom % 2:
        term, total = cosine, cosine if freedom > 1 else 0.0
        for k in range(3, freedom - 1, 2):
            term *= cosine * cosine * (k - 1) / k
            total += term
        inside = 2 / math.pi * (angle + sine * total)
    else:
        term = total = 1.0
        for k in range(2, freedom - 1, 2):
            term *= cosine * cosine * (k - 1) / k
            total += term
        inside = sine * total
    return 0.5 + inside / 2


def binomial_interval(hits: int, trials: int, *, confidence: float = 0.99) -> tuple[float, float]:
    """Clopper and Pearson's exact interval of a proportion, by bisection."""
    if trials <= 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else _solve(lambda p: 1 - _binomial_cdf(hits - 1, trials, p), tail)
    high = 1.0 if hits == trials else _solve(lambda p: -_binomial_cdf(hits, trials, p), -tail)
    return low, high


def _solve(rising: Callable[[float], float], target: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if rising(middle) < target:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _binomial_cdf(hits: int, trials: int, p: float) -> float:
    if p <= 0:
        return 1.0
    if p >= 1:
        return 1.0 if hits >= trials else 0.0
    k = np.arange(hits + 1)
    steps = np.concatenate(([0.0], np.log((trials - k[:-1]) / (k[:-1] + 1))))
    logs = np.cumsum(steps) + k * math.log(p) + (trials - k) * math.log1p(-p)
    peak = float(logs.max())
    return min(1.0, math.exp(peak) * float(np.exp(logs - peak).sum()))
