"""Two sides under the same load, in ABBA pairs: ratios of throughput and of median latency."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from pytest_triton.load.gain import abba
from pytest_triton.load.result import LoadResult
from pytest_triton.load.stats import percentile, ratio_interval

#: Requests a second, and the latency of each in ms.
Taken: TypeAlias = "tuple[float, np.ndarray[Any, Any]]"
Run: TypeAlias = "Callable[[], LoadResult | Taken]"


@dataclass(frozen=True, slots=True)
class Side:
    """One side at one load: requests a second, and latencies in ms."""

    rps: float
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Paired:
    """Ratios are B ÷ A, with 95 % intervals over the pairs."""

    a: Side
    b: Side
    throughput: float
    throughput_interval: tuple[float, float]
    latency: float
    latency_interval: tuple[float, float]
    throughput_pairs: tuple[float, ...]
    latency_pairs: tuple[float, ...]
    #: Cores that others used meanwhile, the mean of the runs; 0 where nobody could look.
    foreign_cpu: float


def paired(run_a: Run, run_b: Run, *, pairs: int) -> Paired:
    """Run A B, B A, …, ``pairs`` pairs. Raises AssertionError for a run with bad answers."""
    latencies: dict[str, list[np.ndarray[Any, Any]]] = {"a": [], "b": []}

    def kept(run: Run, side: str) -> Callable[[], LoadResult | float]:
        def call() -> LoadResult | float:
            found = run()
            if isinstance(found, LoadResult):
                latencies[side].append(found.latency_us / 1000)
                return found
            latencies[side].append(found[1])
            return found[0]

        return call

    gain = abba(kept(run_a, "a"), kept(run_b, "b"), pairs=pairs)
    middles = {side: [percentile(one, 50) for one in each] for side, each in latencies.items()}
    mean, low, high = ratio_interval(middles["b"], middles["a"])
    ratios = tuple(b / a for a, b in zip(middles["a"], middles["b"], strict=True))
    foreign = [cores for cores in gain.foreign_cpu if not math.isnan(cores)]
    return Paired(
        _side(gain.a, latencies["a"]), _side(gain.b, latencies["b"]),
        gain.mean, gain.interval, mean, (low, high), gain.values, ratios,
        float(np.mean(foreign)) if foreign else 0.0,
    )  # fmt: skip


def _side(rates: Sequence[float], latencies: Sequence[np.ndarray[Any, Any]]) -> Side:
    every = np.concatenate(list(latencies))
    return Side(float(np.median(rates)), percentile(every, 50), percentile(every, 95))


def told(ratio: float, interval: Sequence[float]) -> str:
    """A ratio with its interval; an end that says nothing is not spelled out."""
    low, high = interval
    return f"{ratio:.2f} [{low:.2f}, {'>99' if high > 99 else f'{high:.2f}'}]"
