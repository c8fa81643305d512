"""Budgets: what is asked for, what it is judged by, and runs that go on until they can tell."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pytest_triton.load.asked import NAMES, asked
from pytest_triton.load.result import Inconclusive, LoadResult


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


def test_budgets_that_are_kept() -> None:
    kept = result([5.0] * 10).require(p95_ms=6, p50_ms=6, error_rate=0)
    assert [entry.verdict for entry in kept] == ["pass"] * 3
    assert kept[1].value == 5.0
    assert kept[1].budget == 6


def test_a_budget_that_is_broken() -> None:
    with pytest.raises(
        AssertionError, match="p95 is 7 ms, the budget 6 ms: 2000 of 2000 answers are late"
    ):
        result([7.0] * 10).require(p95_ms=6)


def test_noise_excuses_and_does_not_condemn() -> None:
    with pytest.raises(Inconclusive, match="too noisy to tell"):
        result([7.0] * 12, foreign_cpu=0.5).require(p95_ms=6)
    result([5.0] * 12, foreign_cpu=0.5).require(p95_ms=6)  # kept in spite of the noise


def test_too_short_and_too_near() -> None:
    with pytest.raises(Inconclusive, match="at least 4 s are needed"):
        result([5.0] * 4).require(p95_ms=6)
    with pytest.raises(Inconclusive, match="too near to tell"):
        result([5.9] * 16).require(p95_ms=6)
    result([5.7] * 44).require(p95_ms=6)  # in 22 s five percent are enough


def test_a_stall_lengthens_its_window() -> None:
    run = result([1.0] * 4)
    windows = run.windows(95)
    assert [(begin, round(end, 1)) for begin, end, _ in windows][:2] == [(0.0, 0.5), (0.5, 1.0)]
    late = np.where(run.ended_s > 0.5, run.ended_s + 2.0, run.ended_s)
    stalled = result([1.0] * 4, ended_s=late, duration_s=4.0)
    begin, end, _ = stalled.windows(95)[1]
    assert begin == 0.5
    assert end > 2.5
    assert len(result([1.0] * 4).windows(99)) < 4  # p99 needs 500 answers


def test_errors() -> None:
    texts = Counter({"503 busy": 2})
    bad = result([1.0] * 10, errors=2, error_texts=texts)
    with pytest.raises(AssertionError, match="2 of 2000 requests failed: 2× 503 busy"):
        bad.require(error_rate=0)
    bad.require(error_rate=0.01)
    with pytest.raises(Inconclusive, match="the budget is 0"):
        bad.require(error_rate=0.0012)
    with pytest.raises(AssertionError):
        result([1.0] * 10, errors=200).require(error_rate=0.01)
    with pytest.raises(Inconclusive, match="no request ended"):
        result([1.0], requests=0).require(error_rate=0)


def test_wrong_content_fails_whatever_was_asked() -> None:
    wrong = result([1.0] * 10, wrong=1, wrong_texts=Counter({"output 'Y' is off": 1}))
    with pytest.raises(AssertionError, match="1 of 20 checked answers are wrong: output 'Y'"):
        wrong.require(p95_ms=100)


def test_no_answer_at_all() -> None:
    empty = np.array([])
    dead = result([1.0], latency_us=empty, ended_s=empty, requests=9, errors=9)
    with pytest.raises(AssertionError, match="no request got an answer"):
        dead.require(p95_ms=5)


def test_errors_are_late_answers() -> None:
    """One in ten requests is dropped: the 95th of a hundred never came."""
    dropped = result([1.0] * 10, requests=2222, errors=222, error_texts=Counter({"reset": 222}))
    with pytest.raises(AssertionError, match="222 requests got no answer: 222× reset"):
        dropped.require(p95_ms=5)
    few = result([1.0] * 10, requests=2010, errors=10)
    few.require(p95_ms=5)
    with pytest.raises(AssertionError, match="p999 is 1 ms"):
        result([1.0] * 400, requests=80500, errors=500).require(p999_ms=5)


def test_a_rare_percentile_says_how_many_answers_it_needs() -> None:
    with pytest.raises(Inconclusive, match=r"at least \d{5} answers are needed"):
        result([1.0] * 12).require(p999_ms=5)


@pytest.mark.parametrize(
    ("budgets", "text"),
    [
        ({}, "no budget was given"),
        ({"p95_ms": 0}, "p95_ms=0 is not above 0: write milliseconds"),
        ({"p95_ms": -3}, "p95_ms=-3 is not above 0"),
        ({"p99_ms": math.nan}, "p99_ms=nan is not finite"),
        ({"p50_ms": math.inf}, "p50_ms=inf is not finite"),
        ({"p95_ms": True}, "p95_ms=True is no number"),
        ({"p95_ms": "40ms"}, "p95_ms='40ms' is no number: write milliseconds: p95_ms=40"),
        ({"p95_ms": 0.04}, "0.04 seconds are p95_ms=40"),
        ({"p95": 40}, "p95=40 has no unit: write p95_ms"),
        ({"latency": 40}, "write p95_ms"),
        ({"rps": 500}, "write throughput_rps"),
        ({"throughput_rps": 0}, "throughput_rps=0 is not above 0"),
        ({"throughput_rps": -1.0}, "not above 0"),
        ({"error_rate": -0.1}, "error_rate=-0.1 is not above 0: write 0 for none"),
        ({"error_rate": 5}, "5 % is 0.05"),
        ({"error_rate": False}, "error_rate=False is no number"),
        ({"p95_times": 1.5}, "p95_times needs the run that it is a multiple of"),
    ],
)
def test_budgets_that_cannot_be_meant(budgets: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text.replace("(", r"\(")):
        result([1.0] * 10).require(**budgets)


def test_other_arguments_that_cannot_be_meant() -> None:
    run = result([1.0] * 10)
    with pytest.raises(TypeError, match="'p96_ms' is no budget: there are p50_ms"):
        run.require(p96_ms=3)
    with pytest.raises(ValueError, match=r"say e\.g\. p95_times=1\.5"):
        run.require(of=run, p95_ms=3)
    with pytest.raises(ValueError, match="max_s=0: write seconds"):
        run.require(p95_ms=3, max_s=0)
    assert asked({"p95_ms": np.float32(40)}).latency_ms == {95.0: 40.0}
    assert len(NAMES) == 12


def spread_out(
    rng: np.random.Generator, rate: float, seconds: float, *, slow: float = 1.0, cores: float = 0.0
) -> LoadResult:
    """Answers at random moments, of 5 ms and more."""
    count = rng.poisson(rate * seconds)
    ended = np.sort(rng.uniform(0, seconds, count))
    latency = slow * 5e3 * np.exp(np.abs(rng.normal(0, 0.1, count)))
    series = [(at, at + 0.25, cores) for at in np.arange(0, seconds, 0.25)]
    return LoadResult(
        requests=count, errors=0, wrong=0, checked=9, duration_s=seconds,
        throughput_rps=count / seconds, latency_us=latency, ended_s=ended, started=0.0,
        finished=seconds, concurrency=1, foreign_series=series, inferences=2 * count / seconds,
    )  # fmt: skip


def test_throughput() -> None:
    rng = np.random.default_rng(5)
    verdicts = Counter(
        (floor, entry.verdict)
        for _ in range(100)
        for floor in (80.0, 100.0, 125.0)
        for entry in spread_out(rng, 100, 20).judge(throughput_rps=floor)
    )
    assert verdicts[80.0, "pass"] == verdicts[125.0, "fail"] == 100
    assert verdicts[100.0, "inconclusive"] >= 97
    noisy = spread_out(rng, 100, 20, cores=1.0)
    with pytest.raises(Inconclusive, match="too noisy to tell"):
        noisy.require(throughput_rps=125)
    noisy.require(throughput_rps=80)
    with pytest.raises(AssertionError, match="the budget 500"):
        noisy.require(throughput_rps=500)  # noise does not take four fifths
    with pytest.raises(Inconclusive, match="measure longer"):
        spread_out(rng, 100, 3).require(throughput_rps=80)


def test_throughput_that_comes_in_waves_is_known_less_well() -> None:
    steady = result([1.0] * 40)
    at = steady.ended_s
    waves = replace(steady, ended_s=np.where((at // 5) % 2 == 0, at, (at // 5) * 5 + 4.9))
    narrow, wide = (run.judge(throughput_rps=380)[0] for run in (steady, waves))
    assert narrow.verdict == "pass"
    assert wide.verdict == "inconclusive"
    assert wide.interval
    assert narrow.interval
    assert wide.interval[0] < 300 < narrow.interval[0]
