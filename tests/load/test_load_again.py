"""Runs that go on until they can tell, runs that are merged, and two models in turns."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_load_budgets import result, spread_out

from pytest_triton.load.beside import Beside
from pytest_triton.load.result import Inconclusive, LoadResult, merged


def test_two_runs_are_one() -> None:
    rng = np.random.default_rng(1)
    one, two = spread_out(rng, 50, 3, cores=0.4), spread_out(rng, 150, 1)
    one = replace(one, errors=2, error_texts=Counter(reset=2), ended_s=one.ended_s + 0.1)
    both = merged(one, two)
    assert both.requests == one.requests + two.requests == len(both.latency_us)
    assert both.errors == 2
    assert both.error_texts == {"reset": 2}
    assert both.duration_s == 4
    assert both.parts == ((0.0, 3.0), (3.0, 4.0))
    assert both.ended_s.max() <= 4
    assert (both.ended_s <= 3).sum() == len(one.latency_us)  # in flight at the end of the first
    assert both.foreign_cpu == pytest.approx(0.3)
    assert both.throughput_rps == pytest.approx((one.requests + two.requests) / 4)
    assert both.inferences == pytest.approx(2 * both.throughput_rps)
    assert merged(both, one).parts[-1] == (4.0, 7.0)


class Again:
    """More of a load, that counts what was asked for."""

    def __init__(self, slow: float = 1.0) -> None:
        self.rng = np.random.default_rng(2)
        self.slow = slow
        self.asked: list[float] = []

    def __call__(self, seconds: float) -> LoadResult:
        self.asked.append(seconds)
        return spread_out(self.rng, 200, seconds, slow=self.slow)

    def first(self, seconds: float = 2.0) -> LoadResult:
        return replace(spread_out(self.rng, 200, seconds, slow=self.slow), again=self)


def test_a_clear_case_is_measured_on_until_it_is_told() -> None:
    again = Again()
    (kept,) = again.first().require(p95_ms=8)
    assert again.asked == [2.0]
    assert kept.at_s == 4.0
    again = Again(slow=2)
    with pytest.raises(AssertionError):
        again.first().require(p95_ms=8)
    assert again.asked == [2.0]


def test_a_hard_case_goes_on_to_the_end_that_was_said() -> None:
    again = Again()
    p95 = 5 * math.exp(0.196)
    with pytest.raises(Inconclusive, match="too near to tell"):
        again.first().require(p95_ms=p95, max_s=12)
    assert sum(again.asked) == pytest.approx(10)
    with pytest.raises(Inconclusive, match="at least 4 s"):
        again.first().require(p95_ms=8, max_s=2)
    with pytest.raises(AssertionError):  # a failure is not measured on for a doubt beside it
        again.first(5.0).require(p95_ms=p95, p50_ms=3)
    assert sum(again.asked) == pytest.approx(10)


def beside(slow: float, cores: float = 0.0) -> Beside:
    rng = np.random.default_rng(4)
    order: list[str] = []

    def side(name: str, factor: float) -> Any:
        def measure(seconds: float) -> LoadResult:
            order.append(name)
            drift = 1 + 0.2 * math.sin(len(order) / 9)  # the machine's, the same for both
            return spread_out(rng, 300, seconds, slow=factor * drift, cores=cores)

        return measure

    pair = Beside(side("a", slow), side("b", 1.0), turn_s=1.0, pairs=6)
    assert "".join(order) == "abbaabbaabba"
    return pair


def test_a_multiple_of_a_calibration() -> None:
    (kept,) = beside(1.2).require(p95_times=1.5)
    assert kept.interval is not None
    assert kept.interval[0] < 1.2 < kept.interval[1] < 1.5
    with pytest.raises(AssertionError, match=r"p95 is 2.* the budget 1.5×, 6 pairs"):
        beside(2.0).require(p95_times=1.5)
    near = beside(1.5)
    with pytest.raises(Inconclusive, match="too near to tell"):
        near.require(p95_times=1.5, max_s=10)
    assert near.run.duration_s == near.of.duration_s == 10
    with pytest.raises(Inconclusive, match="too noisy to tell"):
        beside(1.4, cores=1.0).require(p95_times=1.5, max_s=6)
    beside(1.0, cores=1.0).require(p95_times=1.5, max_s=6)
    with pytest.raises(ValueError, match="needs 4 at least"):
        Beside(lambda s: result([1.0]), lambda s: result([1.0]), turn_s=1, pairs=2)


def test_runs_that_were_not_measured_in_turns() -> None:
    one, two = result([1.0] * 10), result([2.0] * 10)
    with pytest.raises(Inconclusive, match=r"measure both in turns, with triton_load.beside"):
        one.require(of=two, p95_times=1.5)
    empty = np.array([])
    dead = replace(one, latency_us=empty, ended_s=empty, errors=9, requests=9)
    with pytest.raises(AssertionError, match="no request of the model"):
        dead.require(of=two, p95_times=1.5)
    with pytest.raises(Inconclusive, match="no request of the calibration"):
        two.require(of=dead, p95_times=1.5)
