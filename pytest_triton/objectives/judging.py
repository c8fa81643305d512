"""One window against its objectives: availability by both accounts, latencies, tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pytest_triton.load import budgets
from pytest_triton.load.budgets import Judgement
from pytest_triton.load.result import LoadResult
from pytest_triton.load.stats import Verdict, binomial_interval
from pytest_triton.load.tokens import TimedStream
from pytest_triton.objectives.accounts import Accounts
from pytest_triton.objectives.stating import LATENCIES, STREAMS, Objective

#: Of the interval of an availability. It may be looked at a few times.
CONFIDENCE = 0.98


def availability(good: int, bad: int, percent: float, *, by: str) -> Judgement:
    """Exact binomial interval of the share of good answers, in percent. Failures that come in
    bursts are taken for independent ones: they count for more than they should."""
    asked = good + bad
    low, high = binomial_interval(bad, asked, confidence=CONFIDENCE)
    interval = (100 * (1 - high), 100 * (1 - low))
    value = 100 * good / asked if asked else math.nan
    told = (
        f"{good} of {asked} requests were answered {by}: {value:.4g} %, {percent:g} % is asked for"
    )
    verdict: Verdict = "inconclusive"
    if not asked:
        told = f"no request ended {by}"
    elif interval[1] < percent:
        verdict = "fail"
    elif interval[0] >= percent:
        verdict = "pass"
    else:
        told += (
            f"; it lies in [{interval[0]:.4g} %, {interval[1]:.4g} %]: a longer window would tell"
        )
    return Judgement(f"availability {by}", verdict, value, percent, told, interval)


def requests_needed(percent: float) -> int:
    """Requests of which every one has to be answered until an objective is shown to be kept."""
    return math.ceil(math.log((1 - CONFIDENCE) / 2) / math.log(percent / 100))


def judge(
    objective: Objective, run: LoadResult, accounts: Accounts | None, *, streams: bool = False
) -> list[Judgement]:
    """Availability by clients and, where it tells, by the server; latencies that are stated. Of
    streams that nobody stated an objective for every one has to be whole."""
    if streams and not objective.stated:
        return [found for found in (budgets.errors(run, 0.0), budgets.content(run)) if found]
    seen = accounts or Accounts(run.requests - run.errors, run.errors, 0, 0, run.error_texts)
    found = [
        availability(seen.good, seen.bad, objective.availability, by="by the clients' account")
    ]
    if accounts is not None:
        found.append(availability(accounts.success, accounts.failure, objective.availability,
                                  by="by the server's account"))  # fmt: skip
    if wrong := budgets.content(run):
        found.append(wrong)
    for name, most in objective.given(LATENCIES).items():
        found.append(budgets.latency(run, float(name[1:-3]), most))
    return found


def judge_streams(
    objective: Objective, run: LoadResult, streams: Sequence[TimedStream]
) -> list[Judgement]:
    """TTFT and ITL (ms) that are stated, by the sequential test that latencies are judged by."""
    found = []
    for name, most in objective.given(STREAMS).items():
        what, percentile = name.split("_")[:2]
        judged = budgets.latency(as_latencies(run, streams, what), float(percentile[1:]), most)
        label = f"{what.upper()} {percentile}"
        reason = judged.reason.replace(f"{percentile} is", f"{label} is")
        found.append(replace(judged, name=f"{what}_{percentile}_ms", reason=reason))
    return found


def as_latencies(run: LoadResult, streams: Sequence[TimedStream], what: str) -> LoadResult:
    """The run with each good stream's ``ttft`` or ``itl`` in place of its latency."""
    kept = [
        one for one in streams if not one.error and len(one.stamps) >= (2 if what == "itl" else 1)
    ]
    values = [one.ttft_s if what == "ttft" else one.itl_s for one in kept]
    ends = [one.stamps[0] if what == "ttft" else one.stamps[-1] for one in kept]
    ended = np.asarray(ends, np.float64) - run.started
    order = np.argsort(ended, kind="stable")
    return replace(
        run, latency_us=np.asarray(values, np.float64)[order] * 1e6, ended_s=ended[order],
        concurrency=0, doubts=(),
    )  # fmt: skip
