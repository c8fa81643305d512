"""The rules of LAT-03 to LAT-05 on made-up runs: what fails, what passes, what cannot be told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pytest_triton.load.result import LoadResult
from pytest_triton.load.serverside import Reading
from pytest_triton.timing.runs import Timed, restless
from pytest_triton.timing.tail import Tail, tail, undisturbed
from pytest_triton.timing.way import advice, analysed, outside, overhead

rng = np.random.default_rng(5)


def run(latency_ms: Any, inside_ms: float, *, concurrency: int = 1, **more: Any) -> Timed:
    """Requests one behind the other, and the server's mean account of each."""
    latency = np.asarray(latency_ms, np.float64)
    ended = np.cumsum(latency) / 1e3 / concurrency
    count = len(latency)
    stages = {"queue": 0, "compute_input": 0, "compute_output": 0}
    result = LoadResult(
        requests=count, errors=0, wrong=0, checked=0, duration_s=float(ended[-1]),
        throughput_rps=count / float(ended[-1]), latency_us=latency * 1e3, ended_s=ended,
        started=0.0, finished=1.0, concurrency=concurrency, foreign_cpu=0.02,
        foreign_series=[(0.0, float(ended[-1]), 0.02)],
        served=Reading(
            success=count, request_ns=int(inside_ms * 1e6 * count),
            stages_ns={**stages, "compute_infer": int(inside_ms * 1e6 * count)},
        ),
    )  # fmt: skip
    return Timed("m", replace(result, **more))


def around(mean: float, spread: float = 0.1, count: int = 400) -> np.ndarray[Any, Any]:
    return rng.normal(mean, spread, count).clip(0.05)


def test_a_short_way_passes_and_5_ms_more_fail() -> None:
    assert overhead(run(around(4.3), 4.0), 0.05).verdict == "pass"
    found = overhead(run(around(9.3), 4.0), 0.05)
    assert found.verdict == "fail"
    assert "5.3" in found.reason
    assert "3.10 ms are allowed" in found.reason


def test_a_far_endpoint_may_take_its_round_trips() -> None:
    assert overhead(run(around(44.0), 4.0), 40.0).verdict == "pass"
    assert overhead(run(around(94.0), 4.0), 40.0).verdict == "fail"


def test_noise_in_a_third_of_the_requests_is_no_failure() -> None:
    latency = around(4.3)
    latency[::3] += 30
    assert overhead(run(latency, 4.0), 0.05).verdict == "pass"  # the median is a quiet one
    latency[1::3] += 30
    noisy = run(latency, 4.0, foreign_cpu=1.2)
    found = overhead(noisy, 0.05)
    assert found.verdict == "inconclusive"
    assert "others used 1.2 cores" in found.reason


def test_what_waits_outside_the_server_fails_under_load() -> None:
    assert outside(run(around(16.0), 14.0, concurrency=8), 0.05).verdict == "pass"
    held = outside(run(around(100.0), 14.0, concurrency=8), 0.05)
    assert held.verdict == "fail"
    assert "6.9 are outside the server" in held.reason
    # a tiny model: most of its time is the way, and that is short
    assert outside(run(around(3.0), 0.5, concurrency=8), 0.05).verdict == "pass"


@pytest.mark.parametrize("more", [{"client_busy": 0.95}, {"foreign_cpu": 0.9}])
def test_a_busy_client_or_machine_cannot_tell(more: dict[str, float]) -> None:
    assert outside(run(around(100.0), 14.0, concurrency=8, **more), 0.05).verdict == "inconclusive"


def test_one_percent_late_fails_and_none_passes() -> None:
    assert tail(run(around(5.0, count=600), 4.0)).verdict == "pass"
    latency = around(5.0, count=2000)
    latency[::100] += 200
    found = tail(run(latency, 4.0))
    assert (found.late, found.verdict) == (20, "fail")
    assert "20 of 2000 requests took longer than 45 ms (up to 205 ms)" in str(found)


def test_late_requests_beside_others_are_excused() -> None:
    latency = around(5.0, count=1000)
    latency[::100] += 200
    timed = run(latency, 4.0)
    noisy = replace(timed.result, foreign_series=[(0.0, timed.result.duration_s, 0.9)])
    found = tail(Timed("m", noisy))
    assert (found.quiet, found.verdict) == (0, "inconclusive")


def test_unmeasured_machines_are_judged_by_the_metronome() -> None:
    timed = run(around(5.0, count=100), 4.0)
    blind = replace(
        timed.result, foreign_series=[], foreign_cpu=float("nan"),
        beat_s=np.array([0.1, 0.2, 0.3]), beat_us=np.array([100.0, 60e3, 90.0]),
    )  # fmt: skip
    quiet = undisturbed(blind)
    began = blind.ended_s - blind.latency_us / 1e6
    meets = (blind.ended_s >= 0.14) & (began <= 0.2)
    assert np.array_equal(quiet, ~meets)
    assert restless(blind) == ""
    late = replace(blind, beat_us=np.full(3, 3e3))
    assert "timers were 3.0 ms late" in restless(late)


@pytest.mark.parametrize(
    ("late", "asked", "verdict"),
    [(0, 100, "inconclusive"), (0, 300, "pass"), (3, 1000, "pass"), (12, 1000, "fail")],
)
def test_shares_and_their_certainty(late: int, asked: int, verdict: str) -> None:
    assert Tail(late, asked, late, asked, 50.0, 60.0, late).verdict == verdict


def test_false_failures_of_the_tail_are_rare() -> None:
    """At a true share of 0.3 %, which is allowed, one run in a thousand may fail."""
    found = [
        Tail(late, 1500, late, 1500, 50.0, 60.0, late).verdict == "fail"
        for late in np.random.default_rng(1).binomial(1500, 0.003, 500)
    ]
    assert sum(found) <= 3


@pytest.mark.parametrize(
    ("stage", "told"),
    [("queue", "every instance is busy"), ("compute_infer", "the model itself"),
     ("compute_input", "inputs are copied"), ("compute_output", "outputs are copied"),
     ("", "held back before")],
)  # fmt: skip
def test_advice_names_what_takes_most(stage: str, told: str) -> None:
    alone = run(around(2.0), 1.9)
    timed = run(around(10.0), 2.0 if not stage else 9.5, concurrency=4)
    names = ("queue", "compute_input", "compute_infer", "compute_output")
    stages = {name: (int(9e6) if name == stage else int(1e5)) for name in names}
    served = replace(timed.result.served or Reading(), success=1, stages_ns=stages, batches={1: 1},
                     request_ns=int(2e6 if not stage else 9.5e6), busy_ns=int(1e10))  # fmt: skip
    busy = Timed("m", replace(timed.result, served=served))
    assert told in advice(*analysed(alone, busy, {"name": "m"})).splitlines()[2]


def test_one_stall_is_one_event() -> None:
    """Whatever number of requests it meets."""
    latency = around(5.0, count=1000)
    latency[500:520] += 100
    found = tail(run(latency, 4.0))
    assert (found.late, found.moments, found.verdict) == (20, 1, "inconclusive")
