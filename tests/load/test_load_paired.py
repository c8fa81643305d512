"""Two sides in pairs: what the ratios are made of."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pytest_triton.load.paired import Side, paired, told
from pytest_triton.load.result import LoadResult


def result(rps: float, latency_ms: list[float], wrong: int = 0) -> LoadResult:
    latency = np.array(latency_ms) * 1000
    return LoadResult(
        len(latency), 0, wrong, 1, 1.0, rps, latency, latency, 0.0, 1.0, 1,
        wrong_texts=Counter({"off": wrong} if wrong else {}), foreign_cpu=0.5,
    )  # fmt: skip


def test_ratios_are_of_pairs_taken_in_turn() -> None:
    order = []
    drift = iter([1.0, 1.0, 2.0, 2.0, 4.0, 4.0])  # the machine doubles its speed for both

    def a() -> tuple[float, np.ndarray]:
        order.append("a")
        return 10 * next(drift), np.array([4.0, 6.0, 8.0])

    def b() -> LoadResult:
        order.append("b")
        return result(30 * next(drift), [1.0, 3.0, 9.0])

    found = paired(a, b, pairs=3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found.throughput_pairs == (3.0, 3.0, 3.0)
    assert found.throughput == pytest.approx(3.0)
    assert found.throughput_interval == pytest.approx((3.0, 3.0))
    assert found.latency_pairs == (0.5, 0.5, 0.5)
    assert found.a == Side(20.0, 6.0, 8.0)
    assert found.b == Side(60.0, 3.0, 9.0)
    assert found.foreign_cpu == 0.5


def test_noise_widens_the_interval() -> None:
    rates = iter([1.0, 1.0, 1.0, 3.0, 1.0, 1.0])

    def run() -> tuple[float, np.ndarray]:
        return next(rates), np.array([1.0])

    found = paired(run, run, pairs=3)
    low, high = found.throughput_interval
    assert low < 1 < high


def test_wrong_answers_are_no_speed() -> None:
    with pytest.raises(AssertionError, match="run B has 2 bad answers: 2× off"):
        paired(lambda: (1.0, np.array([1.0])), lambda: result(9.0, [1.0], wrong=2), pairs=2)


def test_an_end_that_says_nothing() -> None:
    assert told(1.5, (0.5, 400.0)) == "1.50 [0.50, >99]"
    assert told(1.12, (1.05, 1.19)) == "1.12 [1.05, 1.19]"
