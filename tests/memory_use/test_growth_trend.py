"""Growth by its slope: the line, its interval, the verdict, and how often chance deceives it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import combinations, permutations

import pytest

from pytest_triton.memory_use.trend import ERROR, FEWEST, LOOKS, look, theil_sen, verdict

COUNT, RUNS = 10, 400
X = [float(n) for n in range(3, 3 + 2 * COUNT)]
Series = Callable[[random.Random], list[float]]


def test_a_line_is_found() -> None:
    trend = theil_sen([1.0, 2.0, 4.0, 5.0, 6.0, 9.0], [5.0, 7.0, 11.0, 13.0, 15.0, 21.0])
    assert (trend.slope, trend.low, trend.high, trend.intercept) == (2.0, 2.0, 2.0, 3.0)
    assert trend.points == 6


def test_the_slope_is_the_median_of_all() -> None:
    y = [0.0, 3.0, 1.0, 7.0, 4.0]
    slopes = sorted((y[j] - y[i]) / (j - i) for i, j in combinations(range(5), 2))
    assert theil_sen(range(5), y).slope == pytest.approx((slopes[4] + slopes[5]) / 2)


@pytest.mark.parametrize(
    ("x", "y"), [([1.0], [1.0]), ([1.0, 1.0], [1.0, 2.0]), ([1.0, 2.0], [1.0])]
)
def test_readings_that_have_no_trend(x: list[float], y: list[float]) -> None:
    with pytest.raises(ValueError, match="rising x"):
        theil_sen(x, y)


def test_too_few_readings_have_no_bounds() -> None:
    def bounds(count: int) -> tuple[float, float]:
        trend = theil_sen(range(count), [float(n % 2) for n in range(count)])
        return trend.low, trend.high

    assert bounds(FEWEST - 1) == (-math.inf, math.inf)
    assert all(map(math.isfinite, bounds(FEWEST)))


@pytest.mark.parametrize("error", [0.3, 0.1, 0.02])
def test_the_interval_is_exact(error: float) -> None:
    """Over all orders of six values that have no trend, 0 lies outside in ``error`` at most."""
    missed = total = 0
    for order in permutations([0.0, 1.0, 3.0, 6.0, 10.0, 15.0]):
        trend = theil_sen(range(6), order, error=error)
        missed += not trend.low <= 0 <= trend.high
        total += 1
    assert 0 < missed <= error * total


def test_verdict() -> None:
    trend = theil_sen(range(10), [float(n) for n in range(10)])
    assert verdict(trend, 1.0) == "pass"
    assert verdict(trend, 0.9) == "fail"
    wild = theil_sen(range(6), [0.0, 5.0, 0.0, 5.0, 0.0, 5.0])
    assert verdict(wild, 1.0) == "inconclusive"


def judged(y: list[float], limit: float = 1.0) -> str:
    """As an analysis does it: readings of one look, and of a second where that is not final."""
    first = look(X[:COUNT], y[:COUNT], limit, COUNT)
    return first.verdict if first.final else look(X, y, limit, COUNT).verdict


def test_one_high_reading_is_no_growth() -> None:
    for at in range(COUNT):
        y = [100.0 + 0.05 * n for n in range(2 * COUNT)]
        y[at] += 80.0
        assert judged(y) == "pass", at


def test_a_warm_up_that_ends_is_no_leak() -> None:
    y = [min(n, COUNT) * 3.0 for n in range(2 * COUNT)]
    first = look(X[:COUNT], y[:COUNT], 1.0, COUNT)
    assert (first.verdict, first.final) == ("fail", False)
    second = look(X, y, 1.0, COUNT)
    assert (second.verdict, second.final, second.begin) == ("pass", True, COUNT)


def test_a_leak_goes_on() -> None:
    found = look(X, [4.0 * n for n in range(2 * COUNT)], 1.0, COUNT)
    assert (found.verdict, found.begin) == ("fail", COUNT)
    assert found.trend.slope == pytest.approx(4.0)


def test_what_passed_is_judged_by_all_that_was_read() -> None:
    y = [0.0] * COUNT + [9.0 * n for n in range(COUNT)]
    assert look(X[:COUNT], y[:COUNT], 1.0, COUNT).verdict == "pass"
    found = look(X, y, 1.0, COUNT)
    assert (found.verdict, found.trend.points) == ("inconclusive", 2 * COUNT)


@pytest.mark.parametrize("first", [3, 17])
def test_rare_steps_do_not_pass(first: int) -> None:
    """40 MiB that stay after every twentieth cycle: the interval of the slope keeps the limit."""
    y = [40.0 * ((n + first) // 20) for n in range(2 * COUNT)]
    found = look(X, y, 1.0, COUNT)
    assert verdict(found.trend, 1.0) == "pass"
    assert found.verdict == "inconclusive"
    assert "in steps: more --cycles" in found.advice


def test_a_step_in_the_first_look_asks_for_more() -> None:
    y = [40.0 * ((n + 17) // 20) for n in range(2 * COUNT)]
    found = look(X, y, 1.0, 2 * COUNT)
    assert verdict(found.trend, 1.0) == "pass"
    assert (found.verdict, found.final) == ("inconclusive", False)


@pytest.mark.parametrize("end", range(9, 15))
@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_a_warm_up_that_ends_late_does_not_fail(end: int, spread: float) -> None:
    chance = random.Random(end)
    y = [3.0 * min(n, end) + chance.gauss(0, spread) for n in range(2 * COUNT)]
    assert look(X, y, 1.0, COUNT).verdict != "fail"


@pytest.mark.parametrize(("begin", "end"), [(4, 12), (5, 13), (6, 13)])
def test_a_warm_up_between_two_looks_is_told(begin: int, end: int) -> None:
    """Not told by the first look; then the slope of all is beyond the limit, yet it has ended."""
    y = [6.0 * max(0, min(n, end) - begin) for n in range(2 * COUNT)]
    assert look(X[:COUNT], y[:COUNT], 1.0, COUNT).verdict == "inconclusive"
    found = look(X, y, 1.0, COUNT)
    assert verdict(found.trend, 1.0) == "fail"
    assert found.verdict == "inconclusive"
    assert "more --warmup" in found.advice


def _noise(slope: float, spread: float, *, depends: float = 0.0, spikes: float = 0.0) -> Series:
    """Readings around a line: normal noise (of neighbours too), and rare high readings."""

    def make(chance: random.Random) -> list[float]:
        y, before = [], 0.0
        for n in range(2 * COUNT):
            before = depends * before + chance.gauss(0, spread)
            high = chance.uniform(10, 100) if chance.random() < spikes else 0.0
            y.append(200.0 + slope * n + before + high)
        return y

    return make


@pytest.mark.parametrize(
    ("make", "most_failed", "fewest_passed"),
    [
        pytest.param(_noise(0.1, 0.3), 0.0, 0.99, id="healthy"),
        pytest.param(_noise(0.1, 0.3, spikes=0.1), 0.0, 0.9, id="healthy, one in ten is high"),
        pytest.param(_noise(0.0, 0.5, depends=0.5), 0.0, 0.9, id="healthy, drifting"),
        pytest.param(_noise(0.0, 4.0), ERROR, 0.0, id="very noisy"),
        pytest.param(_noise(1.0, 0.5), ERROR, 0.0, id="just at the limit"),
    ],
)
def test_healthy_servers_over_many_runs(
    make: Series, most_failed: float, fewest_passed: float
) -> None:  # fmt: skip
    chance = random.Random(7)
    found = [judged(make(chance)) for _ in range(RUNS)]
    assert found.count("fail") <= most_failed * RUNS
    assert found.count("pass") >= fewest_passed * RUNS


@pytest.mark.parametrize(
    ("make", "fewest_failed"),
    [
        pytest.param(_noise(4.0, 0.3), 1.0, id="4 MiB a cycle"),
        pytest.param(_noise(4.0, 2.0), 0.95, id="4 MiB a cycle, noisy"),
        pytest.param(_noise(1.5, 0.3), 0.95, id="1.5 MiB a cycle"),
        # What is not caught then is told as inconclusive.
        pytest.param(_noise(4.0, 0.3, spikes=0.05), 0.85, id="4 MiB a cycle, some are high"),
    ],
)
def test_leaks_over_many_runs(make: Series, fewest_failed: float) -> None:
    chance = random.Random(8)
    found = [judged(make(chance)) for _ in range(RUNS)]
    assert found.count("fail") >= fewest_failed * RUNS
    assert found.count("pass") <= ERROR / LOOKS * RUNS
