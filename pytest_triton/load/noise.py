"""What a latency says when others used the machine meanwhile."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"
Series: TypeAlias = "Sequence[tuple[float, float, float]]"

QUIET = max(0.10, 0.01 * (os.cpu_count() or 1))
"""Foreign CPU, in cores, above which a latency is disturbed."""
GUARD_S = 0.12
"""Half of the time between two looks: noise that begins or ends there is seen in one only, and
a queue that it left takes as long to go."""


def quiet(series: Series, begin: Array, span: float) -> Array:
    """Whether others left the machine alone from ``begin`` for ``span`` seconds, and GUARD_S
    before and after, for each.

    ``series``: (from, to, cores). False too where nobody looked: noise that was not measured
    is not absent. The span is the same for a fast answer and a slow one, or slow ones would
    meet more noise and be excused more often.
    """
    begin = np.asarray(begin, dtype=np.float64) - GUARD_S
    span += 2 * GUARD_S
    if not len(series):
        return np.zeros(begin.shape, dtype=bool)
    table = np.asarray(series, dtype=np.float64)
    since, to = table[:, 0], table[:, 1]
    loud = np.concatenate(([0], np.cumsum(~(table[:, 2] <= QUIET))))
    # what was sent before the first look, or ends after the last, is told by the nearest one
    first = np.searchsorted(to, np.clip(begin, since[0], to[-1]), "left")
    last = np.searchsorted(since, np.clip(begin + span, since[0], to[-1]), "right")
    first = np.minimum(first, len(table) - 1)
    answer: Array = loud[np.maximum(last, first + 1)] == loud[first]
    return answer


def cores_in(series: Series, begin: float, end: float) -> float:
    """Mean foreign CPU of a stretch, in cores; NaN where nobody looked."""
    parts = [
        (min(end, to) - max(begin, since), cores)
        for since, to, cores in series
        if to > begin and since < end
    ]
    weight = sum(part for part, _ in parts)
    return sum(part * cores for part, cores in parts) / weight if weight > 0 else math.nan
