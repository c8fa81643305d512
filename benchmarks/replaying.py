"""Replays of recorded latency streams, judged by our test and by the one it is compared with.

Used by verdicts.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from recording import Stream

from pytest_triton.load.sequential import decide

Array: TypeAlias = "np.ndarray[Any, Any]"
#: A verdict and the seconds after which it fell.
Told: TypeAlias = "tuple[str, float]"

MAX_S = 60.0
#: True p95 ÷ budget.
RATIOS = (0.8, 0.95, 1.0, 1.05, 1.1)


def true_p95(idle: Stream) -> float:
    """The long-run quantile beside no foreign load, in ms."""
    return float(np.percentile(idle.latency, 95))


def replays(stream: Stream, count: int, seed: int) -> Iterator[Stream]:
    """``count`` streams of MAX_S seconds: stretches of 1 to 5 s of the recording, each from an
    offset of its own, so that what is near in time stays together."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        latency, ended, series, at = [], [], [], 0.0
        while at < MAX_S:
            length = min(float(rng.uniform(1, 5)), stream.seconds)
            begin = float(rng.uniform(0, stream.seconds - length))
            first, last = np.searchsorted(stream.ended, (begin, begin + length))
            latency.append(stream.latency[first:last])
            ended.append(stream.ended[first:last] - begin + at)
            since, to, cores = stream.series.T
            inside = (to > begin) & (since < begin + length)
            cut = np.clip(stream.series[inside, :2], begin, begin + length) - begin + at
            series.append(np.column_stack((cut, cores[inside])))
            at += length
        yield Stream(np.concatenate(latency), np.concatenate(ended), np.concatenate(series), at)


def ours(stream: Stream, budget: float) -> Told:
    """The test of the package."""
    found = decide(
        stream.ended - stream.latency / 1e3, stream.ended,
        share=0.05, budget_s=budget / 1e3, series=stream.series,
    )  # fmt: skip
    decided = found.verdict != "inconclusive"
    return found.verdict, min(found.at_s, MAX_S) if decided else MAX_S


def sequential_verdict(windows: Sequence[bool], *, confidence: float = 0.99) -> str:
    """Two sequential probability ratio tests over windows that were good or not.

    Pass when 0.85 good windows are 99 times as likely as 0.5, fail when 0.15 are; nine good
    ones in a row pass. Read in order of time; what is not decided is inconclusive.
    """
    enough = math.log(confidence / (1 - confidence))
    good = bad = 0.0
    for window in windows:
        good += math.log((0.85 if window else 0.15) / 0.5)
        bad += math.log((0.15 if window else 0.85) / 0.5)
        if good >= enough:
            return "pass"
        if bad >= enough:
            return "fail"
    return "inconclusive"


def windows(stream: Stream) -> list[tuple[float, float, float]]:
    """(end, p95 in ms, foreign cores) of windows of 0.5 s and 100 answers at least."""
    found, first, begun = [], 0, 0.0
    since, to, cores = stream.series.T
    while first + 100 <= len(stream.ended):
        last = max(first + 100, int(np.searchsorted(stream.ended, begun + 0.5, "right")))
        end = max(begun + 0.5, float(stream.ended[last - 1]))
        part = np.clip(np.minimum(to, end) - np.maximum(since, begun), 0, None)
        p95 = float(
            np.partition(stream.latency[first:last], -((last - first) // 20) - 1)[
                -((last - first) // 20) - 1
            ]
        )
        found.append((end, p95, float((part * cores).sum() / max(part.sum(), 1e-9))))
        first, begun = last, end
    return found


def control(found: list[tuple[float, float, float]], budget: float, *, kept: bool) -> Told:
    """Two probability ratio tests on good windows, among those in which others used at most
    0.1 cores; ``kept``: all windows may pass as well. 60 windows at most."""
    quiet = [window for window in found if window[2] <= 0.10]
    for part in (quiet, found) if kept else (quiet,):
        good = [window[1] <= budget for window in part][:60]
        verdict = sequential_verdict(good)
        if verdict == "pass" or (verdict == "fail" and part is quiet):
            steps = next(n for n in range(1, len(good) + 1)
                         if sequential_verdict(good[:n]) == verdict)  # fmt: skip
            return verdict, part[steps - 1][0]
    return "inconclusive", MAX_S


def table(
    streams: dict[tuple[str, str], Stream], count: int, seed: int
) -> dict[tuple[str, str, float, str], list[Told]]:
    """Verdicts by (stream, noise, ratio, judge) over ``count`` replays each."""
    found: dict[tuple[str, str, float, str], list[Told]] = {}
    for (name, noise), stream in streams.items():
        truth = true_p95(streams[name, "idle"])
        for replay in replays(stream, count, seed):
            cut = windows(replay)
            for ratio in RATIOS:
                budget = truth / ratio
                for judge, told in (
                    ("ours", ours(replay, budget)),
                    ("sprt", control(cut, budget, kept=False)),
                    ("before", control(cut, budget, kept=True)),
                ):
                    found.setdefault((name, noise, ratio, judge), []).append(told)
    return found


def seconds(told: list[Told], verdict: str) -> float:
    """Mean seconds to this verdict; NaN where it was never given."""
    taken = [at for said, at in told if said == verdict]
    return float(np.mean(taken)) if taken else math.nan
