"""How long two functions take, measured in turn: a ratio of medians with its interval."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Call = Callable[[], object]

#: Calls before anything is measured: TorchScript profiles and rewrites itself in the first ones.
WARM_UP = 5
#: Seconds that one measurement takes at least: several calls when one is shorter.
_LEAST = 0.002
#: Pairs of measurements; fewer say nothing, more cost time only.
MIN_PAIRS, MAX_PAIRS = 15, 200
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Comparison:
    """Median time of a call of ``other`` over that of ``base``, with a 95 % interval."""

    ratio: float
    low: float
    high: float
    #: Milliseconds.
    base_ms: float
    pairs: int


def compare_times(base: Call, other: Call, *, seconds: float, seed: int) -> Comparison:
    """Measure both in turn, in changing order, for about ``seconds``.

    Pairs are resampled together for the interval: what disturbs the machine for a while
    disturbs both.
    """
    for call in (base, other):
        for _ in range(WARM_UP):
            call()
    once = min(_timed(base, 1), _timed(base, 1))
    calls = max(1, int(_LEAST / max(once, 1e-7)))
    pairs: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(pairs) < MIN_PAIRS or (time.perf_counter() < end and len(pairs) < MAX_PAIRS):
        if len(pairs) % 2:
            later = _timed(other, calls)
            pairs.append((_timed(base, calls), later))
        else:
            pairs.append((_timed(base, calls), _timed(other, calls)))
    times = np.array(pairs)
    rng = np.random.default_rng(seed)
    picked = times[rng.integers(0, len(times), (_RESAMPLES, len(times)))]
    medians = np.median(picked, axis=1)
    low, high = np.percentile(medians[:, 1] / medians[:, 0], (2.5, 97.5))
    middle = np.median(times, axis=0)
    return Comparison(
        float(middle[1] / middle[0]), float(low), float(high), float(middle[0] * 1e3), len(pairs)
    )


def _timed(call: Call, calls: int) -> float:
    """Seconds of one call, the mean of ``calls``."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls
