"""Statistics and verdicts: pure functions, known values."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from typing import Any

import numpy as np
import pytest

from pytest_triton.load.cpu import CpuMeter, CpuSample, descendants, foreign, process_seconds
from pytest_triton.load.gain import abba
from pytest_triton.load.result import LoadResult
from pytest_triton.load.stats import (
    binomial_interval,
    bootstrap_interval,
    percentile,
    ratio_interval,
    student_quantile,
)


def test_percentiles_are_values_that_were_seen() -> None:
    assert percentile(range(1, 101), 95) == 95
    assert percentile([3, 1, 2], 50) == 2
    assert percentile([3, 1, 2], 100) == 3
    assert percentile([7], 1) == 7
    assert math.isnan(percentile([], 50))
    with pytest.raises(ValueError, match="lies in"):
        percentile([1], 0)


@pytest.mark.parametrize(
    ("freedom", "p", "quantile"),
    [(1, 0.975, 12.7062), (2, 0.975, 4.3027), (3, 0.975, 3.1824), (4, 0.975, 2.7764),
     (5, 0.995, 4.0321), (7, 0.975, 2.3646), (30, 0.975, 2.0423), (120, 0.95, 1.6577),
     (3, 0.5, 0.0)],
)  # fmt: skip
def test_student(freedom: int, p: float, quantile: float) -> None:
    assert student_quantile(p, freedom) == pytest.approx(quantile, abs=1e-4)


def test_ratios() -> None:
    mean, low, high = ratio_interval([2.0, 2.0, 2.0], [1.0, 1.0, 1.0])
    assert (mean, low, high) == pytest.approx((2, 2, 2))
    mean, low, high = ratio_interval([1, 4], [1, 1])
    assert mean == pytest.approx(2)
    assert low * high == pytest.approx(4)  # symmetric on the log scale
    assert ratio_interval([3.0], [1.0]) == (pytest.approx(3), 0.0, math.inf)
    with pytest.raises(ValueError, match="positive"):
        ratio_interval([1, 0], [1, 1])
    with pytest.raises(ValueError, match="equally long"):
        ratio_interval([1], [1, 1])


def test_ratio_interval_holds_what_it_promises() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(1000):
        top = 2 * np.exp(rng.normal(0, 0.1, 4))
        _, low, high = ratio_interval(top, np.exp(rng.normal(0, 0.1, 4)))
        held += low <= 2 <= high
    assert 925 <= held <= 972  # 95 % of 1000, four standard errors


def test_bootstrap() -> None:
    values = np.random.default_rng(1).normal(10, 1, 200)
    low, high = bootstrap_interval(values, seed=5)
    assert low < np.median(values) < high
    assert (low, high) == bootstrap_interval(values, seed=5)
    steady = np.repeat([0.0, 1.0], 100)  # two long runs: neighbours tell nothing new
    free, blocked = (bootstrap_interval(steady, np.mean, block=b) for b in (1, 50))
    assert blocked[1] - blocked[0] > 3 * (free[1] - free[0])
    assert all(math.isnan(end) for end in bootstrap_interval([]))


def test_binomial() -> None:
    assert binomial_interval(0, 100, confidence=0.95) == pytest.approx((0, 0.036217), abs=1e-5)
    expected = (0.016432, 0.112835)
    assert binomial_interval(5, 100, confidence=0.95) == pytest.approx(expected, abs=1e-5)
    assert binomial_interval(9, 9)[1] == 1
    assert binomial_interval(0, 0) == (0, 1)


def result(windows: list[float], *, foreign_cpu: float = 0.0, **changes: Any) -> LoadResult:
    """200 answers in each half second, all with that window's latency (ms)."""
    ended = np.concatenate([i * 0.5 + np.linspace(0.001, 0.499, 200) for i in range(len(windows))])
    latency = np.repeat(np.array(windows) * 1e3, 200)
    span = len(windows) * 0.5
    base: dict[str, Any] = {
        "requests": len(ended), "errors": 0, "wrong": 0, "checked": 20, "duration_s": span,
        "throughput_rps": len(ended) / span, "latency_us": latency, "ended_s": ended,
        "started": 0.0, "finished": span, "concurrency": 4, "foreign_cpu": foreign_cpu,
        "foreign_series": [(i * 0.25, (i + 1) * 0.25, foreign_cpu) for i in range(int(span * 4))],
    }  # fmt: skip
    return LoadResult(**{**base, **changes})


def test_abba_order_and_gain() -> None:
    order: list[str] = []
    rates = {"a": iter([100.0, 110.0, 105.0, 100.0]), "b": iter([210.0, 220.0, 200.0, 205.0])}

    def run(side: str) -> float:
        order.append(side)
        return next(rates[side])

    told: list[str] = []
    gain = abba(lambda: run("a"), lambda: run("b"), pairs=4, progress=told.append)
    assert "".join(order) == "abbaabba"
    assert gain.values == pytest.approx((2.1, 2.0, 200 / 105, 2.05))
    assert gain.interval[0] < gain.median < gain.interval[1]
    assert gain.judge(at_least=1.3, low_above=1.1) == "pass"
    assert gain.judge(at_least=3.0) == "fail"
    assert gain.judge(at_least=2.02) == "inconclusive"
    assert told[0] == "pair 1 of 4"
    assert len(told) == 4
    one = abba(lambda: 1.0, lambda: 2.0, pairs=1)
    assert one.judge(at_least=1.3, low_above=1.1) == "inconclusive"


def test_abba_refuses_runs_with_bad_answers() -> None:
    bad = result([1.0], wrong=3, wrong_texts=Counter({"output 'Y' is off": 3}))
    with pytest.raises(AssertionError, match="run B has 3 bad answers: 3× output 'Y' is off"):
        abba(lambda: 1.0, lambda: bad)


def test_cpu_of_a_process_is_its_own_clock() -> None:
    before = time.process_time()
    seen = process_seconds(os.getpid())
    assert seen is not None
    assert before <= seen <= time.process_time()
    assert process_seconds(2**22 + 1) is None
    assert descendants(os.getpid())[0] == os.getpid()


def test_foreign_cpu() -> None:
    assert foreign(CpuSample(0, 10, 4), CpuSample(2, 13, 5)) == 1.0
    assert foreign(CpuSample(0, 10, 4), CpuSample(2, 11, 5.5)) == 0.0
    assert foreign(CpuSample(1, 10, 4), CpuSample(1, 11, 5)) == 0.0
    meter = CpuMeter((), alone=(os.getpid(),))
    first, second = meter.sample(), meter.sample()
    assert second.at > first.at
    assert second.own >= first.own
