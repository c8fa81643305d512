"""Whether two measured numbers differ, as pure functions.

Logarithms where everything is positive, so that a difference is a ratio. Latencies of one run
depend on their neighbours, so their error comes from a bootstrap of blocks in order of time;
and two runs differ by more than either shows of itself, so a declared variance from run to run
is added to both (``directions.toml``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Numbers: TypeAlias = "Sequence[float] | np.ndarray[Any, Any]"

#: Chance that a pair of reports that differ by noise alone is called worse: shared by all their
#: numbers after Holm, one-sided; the same chance once more for "better".
ALPHA = 0.01
#: A smaller difference is not called worse, however sure it is: ratio of new to old, or its inverse.
RELEVANT = 1.10
#: An interval that reaches beyond this ratio would not have shown a difference worth the name.
BLIND = 1.25
#: Samples below which a spread is not known; above :data:`ORDERED` they are a series in time.
FEWEST, ORDERED = 4, 60
BLOCKS, RESAMPLES = 25, 400
#: Samples beyond a percentile below which it is an anecdote: 3,000 for p99. With half of them a
#: service that is late once in a hundred was called worse in 1 of 60 pairs of the same runs.
TAIL = 30
_Z95 = 1.959963985


@dataclass(frozen=True, slots=True)
class Estimate:
    """One number with its standard error and that error's degrees of freedom.

    ``wide``: the error is read off a stated interval; two of those add, for intervals that
    do not overlap. ``log``: all is in logarithms.
    """

    centre: float
    error: float
    freedom: float
    log: bool
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """``change``: new minus old (logarithm of the ratio where ``log``), with its 95 % interval;
    ``z``: in standard errors of a normal distribution."""

    change: float
    interval: tuple[float, float]
    z: float
    log: bool

    @property
    def ratio(self) -> float | None:
        return math.exp(self.change) if self.log else None


def quantile_of(statistic: str | None) -> float | None:
    """0.95 for ``p95``, 0.5 for ``median``; None for what is no quantile."""
    if statistic == "median":
        return 0.5
    if statistic and statistic[0] == "p" and statistic[1:].replace(".", "", 1).isdigit():
        share = float(statistic[1:]) / 100
        return share if 0 < share < 1 else None
    return None


def of_samples(samples: Numbers, statistic: str | None, *, log: bool) -> Estimate | None:
    """What samples in order of time say of the number; None when they are too few to tell."""
    data = np.asarray(samples, dtype=np.float64)
    if data.size < FEWEST:
        return None
    if data.size < ORDERED:  # runs, pairs: few, and independent
        values = np.log(data) if log else data
        error = float(values.std(ddof=1)) / math.sqrt(values.size)
        return Estimate(float(values.mean()), error, values.size - 1.0, log)
    q = quantile_of(statistic)
    if q is not None and data.size * min(q, 1 - q) < TAIL:
        return None
    found = _number(data, q)
    drawn = _bootstrap(data, q)
    if log:
        found, drawn = math.log(found), np.log(drawn)
    return Estimate(found, float(drawn.std(ddof=1)), BLOCKS - 1.0, log)


def interval_of(samples: Numbers, statistic: str | None) -> tuple[float, float] | None:
    """95 % interval of the number within its own run; None when the samples cannot tell."""
    data = np.asarray(samples, dtype=np.float64)
    found = of_samples(data, statistic, log=bool(data.size and data.min() > 0))
    if found is None:
        return None
    reach = _student(_Z95, found.freedom) * found.error
    low, high = found.centre - reach, found.centre + reach
    return (math.exp(low), math.exp(high)) if found.log else (low, high)


def _number(data: np.ndarray[Any, Any], q: float | None) -> float:
    if q is None:
        return float(data.mean())
    rank = max(0, math.ceil(q * data.size - 1e-9) - 1)
    return float(np.partition(data, rank)[rank])


def _bootstrap(data: np.ndarray[Any, Any], q: float | None) -> np.ndarray[Any, Any]:
    """The number of resamples made of blocks of neighbours; the end joins the beginning."""
    rng = np.random.default_rng(0)
    length = max(1, math.ceil(data.size / BLOCKS))
    ring = np.concatenate((data, data[:length]))
    offsets = np.arange(length)
    found = np.empty(RESAMPLES)
    for turn in range(RESAMPLES):
        starts = rng.integers(0, data.size, BLOCKS)
        picked = ring[(starts[:, None] + offsets).reshape(-1)[: data.size]]
        found[turn] = _number(picked, q)
    return found


def exceeding(old: Numbers, new: Numbers, q: float) -> float:
    """By how many standard errors more of the new samples lie above the quantile of both.

    Where a quantile falls between two clusters its value leaps with a few samples: how many lie
    beyond does not.
    """
    sides = [np.asarray(side, dtype=np.float64) for side in (old, new)]
    limit = _number(np.concatenate(sides), q)
    shares, errors = [], []
    for side in sides:
        above = (side > limit) + 0.5 * (side == limit)
        blocks = np.array([part.mean() for part in np.array_split(above, BLOCKS)])
        shares.append(float(above.mean()))
        share = shares[-1]
        counted = math.sqrt(share * (1 - share) / side.size)  # what even independence leaves
        errors.append(max(float(blocks.std(ddof=1)) / math.sqrt(BLOCKS), counted))
    change, scale = shares[1] - shares[0], math.hypot(*errors)
    if scale == 0:
        return math.copysign(math.inf, change) if change else 0.0
    return math.copysign(_normal(abs(change) / scale, 2.0 * (BLOCKS - 1)), change)


def of_interval(value: float, interval: Sequence[float], *, log: bool) -> Estimate | None:
    """What a stated 95 % interval says of the number."""
    low, high = float(interval[0]), float(interval[1])
    if not low <= high:
        return None
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    # The wider side: an interval need not be symmetric.
    error = max(high - value, value - low, (high - low) / 2) / _Z95
    return Estimate(value, error, math.inf, log, wide=True)


def difference(old: Estimate, new: Estimate, run_to_run: float) -> Difference:
    """New against old; ``run_to_run`` is that deviation of one run, on the estimates' scale."""
    errors = [math.hypot(side.error, run_to_run) for side in (old, new)]
    change = new.centre - old.centre
    if old.wide or new.wide:
        scale, freedom = sum(errors), math.inf
    else:
        scale = math.hypot(*errors)
        spread = sum(
            side.error**4 / side.freedom for side in (old, new) if math.isfinite(side.freedom)
        )
        freedom = scale**4 / spread if spread > 0 else math.inf
    if scale == 0:
        return Difference(
            change, (change, change), math.copysign(math.inf, change) if change else 0.0, old.log
        )
    reach = _student(_Z95, freedom) * scale
    z = math.copysign(_normal(abs(change) / scale, freedom), change)
    return Difference(change, (change - reach, change + reach), z, old.log)


def _normal(t: float, freedom: float) -> float:
    """The normal deviate as far out as Student's ``t`` (Wallace 1959): 2 % too near for
    three degrees of freedom, nothing from ten on; never too far."""
    if math.isinf(freedom):
        return t
    return (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(t * t / freedom))


def _student(z: float, freedom: float) -> float:
    """The inverse of :func:`_normal`."""
    if math.isinf(freedom):
        return z
    scaled = z * (8 * freedom + 3) / (8 * freedom + 1)
    return math.sqrt(freedom * math.expm1(scaled * scaled / freedom))


def beyond(z: float) -> float:
    """One-sided p: the chance of a deviate above ``z``."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def holm(chances: Sequence[float], alpha: float = ALPHA) -> list[bool]:
    """Which hypotheses fall when all of them together may be wrong with ``alpha`` (Holm 1979)."""
    fallen = [False] * len(chances)
    order = sorted(range(len(chances)), key=lambda at: chances[at])
    for rank, at in enumerate(order):
        if chances[at] > alpha / (len(chances) - rank):
            break
        fallen[at] = True
    return fallen
