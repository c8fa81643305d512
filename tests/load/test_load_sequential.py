"""The sequential test: its error rates on synthetic streams, and what it must not believe."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pytest_triton.load.noise import cores_in, quiet
from pytest_triton.load.sequential import ALPHA, Decision, decide, needed

Array = Any
#: Replays of each case; the bounds below are far from what they give.
REPLAYS = 100


def lognormal(rng: np.random.Generator, count: int) -> Array:
    return np.exp(rng.normal(0, 0.1, count)), math.exp(1.6449 * 0.1)


def wide(rng: np.random.Generator, count: int) -> Array:
    return np.exp(rng.normal(0, 0.5, count)), math.exp(1.6449 * 0.5)


def bimodal(rng: np.random.Generator, count: int) -> Array:
    values = np.where(rng.random(count) < 0.1, 4.0, 1.0) * np.exp(rng.normal(0, 0.02, count))
    return values, 4.0  # half of the slow tenth lies above


def correlated(rng: np.random.Generator, count: int) -> Array:
    """Slow and fast stretches of a tenth of a second."""
    steps = np.repeat(rng.normal(0, 0.08, count // 20 + 1), 20)[:count]
    return np.exp(steps + rng.normal(0, 0.06, count)), math.exp(1.6449 * 0.1)


SHAPES = (lognormal, wide, bimodal, correlated)


def judged(
    rng: np.random.Generator,
    shape: Any,
    ratio: float,
    *,
    rate: float = 200,
    seconds: float = 60,
    busy: float = 0.0,
    seen: bool = True,
) -> Decision:
    """One run of a server whose true p95 is ``ratio`` of the budget; ``busy``: the share of
    its seconds in which others make every third answer half as slow again."""
    count = int(rate * seconds)
    latency, p95 = shape(rng, count)
    at = np.sort(rng.uniform(0, seconds, count))
    spans = np.arange(0, seconds, 0.25)
    loud = np.repeat(rng.random(len(spans) // 4 + 1) < busy, 4)[: len(spans)]
    hit = loud[np.minimum((at / 0.25).astype(int), len(spans) - 1)] & (rng.random(count) < 0.3)
    latency = np.where(hit, latency * 1.5, latency) * 5e-3
    series = [(s, s + 0.25, 1.0 if noisy else 0.0) for s, noisy in zip(spans, loud, strict=True)]
    return decide(
        at, at + latency, share=0.05, budget_s=p95 * 5e-3 / ratio, series=series if seen else ()
    )


def many(shape: Any, ratio: float, **more: Any) -> list[Decision]:
    rng = np.random.default_rng(7)
    return [judged(rng, shape, ratio, **more) for _ in range(REPLAYS)]


def share(found: list[Decision], verdict: str) -> float:
    return sum(one.verdict == verdict for one in found) / len(found)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("busy", [0.0, 0.25])
def test_over_the_budget_never_passes_and_under_it_never_fails(shape: Any, busy: float) -> None:
    assert share(many(shape, 1.05, busy=busy), "pass") == 0
    assert share(many(shape, 0.95, busy=busy), "fail") == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_at_the_budget_hardly_anything_is_decided(shape: Any) -> None:
    found = many(shape, 1.0)
    assert share(found, "inconclusive") >= 0.98


@pytest.mark.parametrize("shape", [lognormal, bimodal, correlated])
def test_a_clear_case_is_decided_soon(shape: Any) -> None:
    for ratio, verdict in ((0.8, "pass"), (1.25, "fail")):
        found = many(shape, ratio, seconds=12)
        assert share(found, verdict) >= 0.95
        assert np.mean([one.at_s for one in found if one.verdict == verdict]) < 6


def test_with_a_quarter_of_the_time_disturbed_it_still_passes() -> None:
    assert share(many(lognormal, 0.8, busy=0.25), "pass") >= 0.95
    assert share(many(lognormal, 0.8, busy=0.25), "fail") == 0


def test_more_time_does_not_make_it_err_more() -> None:
    # 24000 answers are looked at 240 times
    rng = np.random.default_rng(3)
    found = [judged(rng, lognormal, 1.001, rate=200, seconds=120) for _ in range(REPLAYS)]
    assert share(found, "pass") <= 10 * ALPHA


def test_a_slow_model_needs_answers_more_than_seconds() -> None:
    found = many(lognormal, 0.8, rate=10, seconds=12)
    assert share(found, "pass") == 0
    assert needed(0.05) > 120
    assert needed(0.001) > 50 * needed(0.05) / 2
    assert share(many(lognormal, 0.8, rate=10, seconds=60), "pass") > 0.9


def test_half_a_second_does_not_decide_however_many_answers_it_has() -> None:
    found = many(lognormal, 0.5, rate=5000, seconds=3.4)
    assert share(found, "pass") == 0


def test_noise_nobody_measured_excuses_and_does_not_praise() -> None:
    blind = many(lognormal, 1.3, seen=False, seconds=10)
    assert share(blind, "inconclusive") == 1
    assert share(many(lognormal, 6.0, seen=False, seconds=10), "fail") == 1  # no noise does that
    assert share(many(lognormal, 0.8, seen=False, seconds=10), "pass") >= 0.95


def test_a_run_that_changed_has_no_answer() -> None:
    at = np.arange(0, 40, 0.005)
    latency = np.where(at < 20, 4e-3, 8e-3)
    series = [(0.0, 40.0, 0.0)]
    found = decide(at, at + latency, share=0.05, budget_s=6e-3, series=series)
    assert found.verdict == "inconclusive"


def test_bursts_of_late_answers_are_not_independent_ones() -> None:
    """A tenth of the half seconds is late throughout: ten percent are late, not a few."""
    at = np.arange(0, 60, 0.005)
    late = (at % 5) < 0.5
    latency = np.where(late, 9e-3, 4e-3)
    series = [(0.0, 60.0, 0.0)]
    found = decide(at + 0.5, at + 0.5 + latency, share=0.05, budget_s=6e-3, series=series)
    assert found.spread > 20
    assert found.verdict != "pass"


def test_quiet_is_what_was_looked_at() -> None:
    series = [(0.0, 1.0, 0.0), (1.0, 2.0, 0.5), (2.0, 3.0, 0.0)]
    begin = np.array([-0.1, 0.5, 0.85, 1.5, 2.05, 2.2, 3.5])
    assert quiet(series, begin, 0.1).tolist() == [True, True, False, False, False, True, True]
    assert quiet(series, begin, 2.5).tolist() == [False] * 5 + [True] * 2
    assert not quiet((), begin, 0.1).any()
    assert not quiet([(0.0, 1.0, math.nan)], begin, 0.1).any()
    assert cores_in(series, 0.5, 1.5) == pytest.approx(0.25)
    assert math.isnan(cores_in(series, 5, 6))


def test_an_answer_is_not_excused_for_being_slow() -> None:
    """Noise begins after the budget has passed: the answer was late before it."""
    series = [(0.0, 0.25, 0.0), (0.25, 9.0, 1.0)]
    assert quiet(series, np.array([0.1]), 0.02).tolist() == [True]
    at, ended = np.array([0.1]), np.array([0.9])
    assert decide(at, ended, share=0.05, budget_s=0.02, series=series).quiet == 1


def test_no_answers() -> None:
    empty = np.array([])
    assert decide(empty, empty, share=0.05, budget_s=1, series=()).verdict == "inconclusive"


def test_an_answer_beside_noise_praises_only_with_something_to_spare() -> None:
    """A busy machine can be a faster one: its processors do not sleep."""
    at = np.arange(0, 8, 0.005)
    for latency, verdict in ((5.2e-3, "inconclusive"), (5.0e-3, "pass")):
        found = decide(at, at + latency, share=0.05, budget_s=6e-3, series=[(0.0, 8.0, 1.0)])
        assert found.verdict == verdict
    calm = decide(at, at + 5.2e-3, share=0.05, budget_s=6e-3, series=[(0.0, 8.0, 0.0)])
    assert calm.verdict == "pass"
