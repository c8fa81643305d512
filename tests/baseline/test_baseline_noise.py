"""Error rates over simulated pairs of whole reports: noise is not called worse, 25 % is."""

from __future__ import annotations

import numpy as np
import pytest
from simulated import run

from pytest_triton.baseline import statistic as st
from pytest_triton.baseline.compare import compare


def verdicts(pairs: int, *, slower: float, raw: bool = True) -> list[str]:
    rng = np.random.default_rng(20)
    return [
        compare(run(rng, raw=raw, models=1), run(rng, raw=raw, slower=slower, models=1)).verdict
        for _ in range(pairs)
    ]


def test_noise_is_not_worse() -> None:
    found = verdicts(25, slower=1.0)
    # 3 in 600 pairs at this deviation from run to run; two in 25 have a chance of 0.7 %.
    assert found.count("worse") <= 1


@pytest.mark.parametrize(("slower", "word"), [(1.25, "worse"), (0.75, "better")])
def test_a_quarter_is_found(slower: float, word: str) -> None:
    assert verdicts(12, slower=slower).count(word) >= 10


def test_intervals_alone_find_a_half() -> None:
    assert verdicts(8, slower=1.5, raw=False).count("worse") >= 7
    assert verdicts(10, slower=1.0, raw=False).count("worse") <= 1


def test_student_is_turned_into_a_normal_deviate() -> None:
    from pytest_triton.load.stats import student_quantile

    for freedom in (3, 5, 24):
        for p, z in ((0.975, 1.959964), (0.995, 2.575829), (0.999, 3.090232)):
            t = student_quantile(p, freedom)
            assert st._normal(t, freedom) == pytest.approx(z, rel=0.02)
            assert st._student(z, freedom) == pytest.approx(t, rel=0.08)


def test_holm_steps_down() -> None:
    assert st.holm([0.004, 0.03, 0.002], 0.01) == [True, False, True]
    assert st.holm([0.004, 0.002], 0.01) == [True, True]
    assert st.holm([0.006, 0.006], 0.01) == [False, False]
    assert st.holm([]) == []


def test_a_percentile_between_two_clusters_leaps_and_is_not_worse() -> None:
    def one(late: int) -> list[float]:
        values = [10 + 0.01 * (at % 50) for at in range(4000)]
        for at in range(late):
            values[(at * 4000) // late] = 40.0
        return values

    few, many = one(36), one(46)
    sides = [st.of_samples(side, "p99", log=True) for side in (few, many)]
    assert sides[1].centre - sides[0].centre > 1  # type: ignore[union-attr]
    assert abs(st.exceeding(few, many, 0.99)) < 2.5
    assert st.exceeding(few, one(120), 0.99) > 4


def test_blocks_see_that_neighbours_are_alike() -> None:
    rng = np.random.default_rng(3)
    levels = np.repeat(rng.normal(0, 0.2, 40), 50)
    dependent = st.of_samples(np.exp(levels), "p50", log=True)
    shuffled = st.of_samples(np.exp(rng.permutation(levels)), "p50", log=True)
    assert dependent is not None
    assert shuffled is not None
    assert dependent.error > 2.5 * shuffled.error


@pytest.mark.parametrize(
    ("count", "statistic"), [(3, None), (599, "p95"), (2900, "p99"), (0, "p50")]
)
def test_too_few_samples_say_nothing(count: int, statistic: str | None) -> None:
    if count >= 60 or count < 4:
        assert st.of_samples([1.0 + i % 7 for i in range(count)], statistic, log=True) is None
