"""Each budget against one run: latency, throughput, errors, content."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_triton.load.asked import PERCENTILES
from pytest_triton.load.noise import QUIET, Array, cores_in
from pytest_triton.load.sequential import FAR, MARGINS, WINDOW_S, Decision, decide, needed
from pytest_triton.load.stats import Verdict, binomial_interval, student_quantile

if TYPE_CHECKING:
    from pytest_triton.load.result import LoadResult

CONFIDENCE = 0.999
"""Of an interval of throughput or of an error rate. It may be looked at a dozen times."""
_FEWEST = 8


@dataclass(frozen=True, slots=True)
class Judgement:
    """One budget: the number, the budget, the verdict and a sentence that says why.

    ``value``, ``budget`` and ``interval`` have the unit of the name; ``interval`` is one of
    the value. ``at_s``: seconds of measurement after which a latency was decided.
    """

    name: str
    verdict: Verdict
    value: float
    budget: float
    reason: str
    interval: tuple[float, float] | None = None
    at_s: float = math.nan


def content(run: LoadResult) -> Judgement | None:
    """Wrong answers fail whatever was asked; None where every checked one was right."""
    if not run.wrong:
        return None
    text = "; ".join(text for text, _ in run.wrong_texts.most_common(3))
    reason = f"{run.wrong} of {run.checked} checked answers are wrong: {text}"
    return Judgement("content", "fail", run.wrong, 0, reason)


def errors(run: LoadResult, budget: float) -> Judgement:
    """Exact binomial interval of errors and wrong answers among the requests. Errors that come
    in bursts are taken for independent ones: they count for more than they should."""
    bad = run.errors + run.wrong
    low, high = binomial_interval(bad, run.requests, confidence=CONFIDENCE)
    told = f"{bad} of {run.requests} requests failed{_texts(run)}"
    verdict: Verdict
    if not run.requests:
        verdict, told = "inconclusive", "error rate: no request ended within the run"
    elif budget <= 0:
        verdict = "fail" if bad else "pass"
    elif low > budget:
        verdict = "fail"
    else:
        verdict = "pass" if high <= budget else "inconclusive"
        if verdict == "inconclusive":
            told += f"; its rate lies in [{low:.2%}, {high:.2%}], the budget is {budget:.2%}"
    return Judgement("error_rate", verdict, run.error_rate, budget, told, (low, high))


def latency(run: LoadResult, q: float, budget_ms: float) -> Judgement:
    """A percentile in ms by the sequential test; see :mod:`pytest_triton.load.sequential`.

    A request without an answer is later than every budget. Its moment is not known, so it
    tells only that a budget is broken, or that nothing can be told.
    """
    label = label_of(q)
    name, value, share = f"{label}_ms", run.percentile_ms(q), 1 - q / 100
    if not len(run.latency_us):
        verdict: Verdict = "fail" if run.errors else "inconclusive"
        reason = f"{label}: no request got an answer{_texts(run)}"
        return Judgement(name, verdict, value, budget_ms, reason)
    # an answer that was in flight at the end of the window belongs to it, with its whole latency
    started = run.ended_s - run.latency_us / 1e6
    found = decide(
        started, run.ended_s, share=share, budget_s=budget_ms / 1e3, series=run.foreign_series
    )
    late = int(np.count_nonzero(run.latency_us > budget_ms * 1e3))
    told = f"{label} is {value:.3g} ms, the budget {budget_ms:g} ms: "
    told += f"{late} of {len(run.latency_us)} answers are late"
    if run.foreign_series and found.quiet < 0.5:
        told += f", {1 - found.quiet:.0%} were beside foreign load"
    verdict = found.verdict
    low, _ = binomial_interval(run.errors, run.requests, confidence=CONFIDENCE)
    if run.errors and low > share:
        verdict = "fail"
        told += f"; {run.errors} requests got no answer{_texts(run)}"
    elif verdict == "pass" and run.errors + late > share * run.requests:
        verdict = "inconclusive"
        told += f"; with {run.errors} requests without an answer more than {share:.3g} may be late"
    elif verdict == "inconclusive":
        told += f"; {_doubt(run, found, share, value, budget_ms)}"
    return Judgement(
        name, verdict, value, budget_ms, told, _interval(run, q, found.spread), found.at_s
    )


def throughput(run: LoadResult, floor: float) -> Judgement:
    """Good answers a second, at least ``floor``: Student's t over half seconds, widened by
    their autocorrelation. Noise only takes throughput away: all windows may say that it is
    reached, only quiet ones that it is not."""
    name, count = "throughput_rps", int(run.duration_s / WINDOW_S + 1e-9)
    # what was in flight at the end of a run belongs to no window of it
    inside = run.ended_s
    for _, end in run.parts:
        inside = inside[inside != end]
    rates = np.histogram(inside, bins=count or 1, range=(0, max(count, 1) * WINDOW_S))[0]
    rates = rates / WINDOW_S
    value = run.throughput_rps
    told = f"throughput is {value:.4g} requests/s, the budget {floor:g}"
    if not len(run.latency_us):
        reason = f"throughput: no request got an answer{_texts(run)}"
        return Judgement(name, "fail" if run.errors else "inconclusive", value, floor, reason)
    if count < _FEWEST:
        told += f"; at least {_FEWEST * WINDOW_S:g} s are needed to tell: measure longer"
        return Judgement(name, "inconclusive", value, floor, told)
    calm = np.array([
        cores_in(run.foreign_series, at * WINDOW_S, (at + 1) * WINDOW_S) <= QUIET
        for at in range(count)
    ])  # fmt: skip
    every = _mean(rates, rates)
    verdict: Verdict = "inconclusive"
    still = _mean(rates[calm], rates) if calm.sum() >= _FEWEST else (0.0, math.inf)
    if every[0] >= floor or still[0] >= floor:
        verdict = "pass"
    elif still[1] < floor or every[1] < floor / FAR:
        verdict = "fail"
    else:
        told += f"; its mean lies in [{every[0]:.4g}, {every[1]:.4g}]"
        if calm.mean() < 0.5:
            told += _noise_words(run)
    return Judgement(name, verdict, value, floor, told, every)


def label_of(q: float) -> str:
    """``p99`` for 99."""
    return next(name for name, known in PERCENTILES.items() if known == q)


def _mean(rates: Array, every: Array) -> tuple[float, float]:
    """Interval of the mean; the autocorrelation is that of ``every`` window in order."""
    around = every - every.mean()
    power = float((around**2).sum())
    lag = max(0.0, float((around[1:] * around[:-1]).sum()) / power) if power > 0 else 0.0
    lag = min(lag, 0.9)
    error = float(rates.std(ddof=1)) * math.sqrt((1 + lag) / (1 - lag) / len(rates))
    # one answer more or less at an end is nobody's doing
    half = student_quantile((1 + CONFIDENCE) / 2, len(rates) - 1) * error
    half += 1 / (len(rates) * WINDOW_S)
    return float(rates.mean()) - half, float(rates.mean()) + half


def _interval(run: LoadResult, q: float, spread: float) -> tuple[float, float]:
    """Of a percentile in ms: order statistics, for as many independent answers as there are."""
    ordered, p = np.sort(run.latency_us), q / 100
    half = 3.29 * math.sqrt(p * (1 - p) * max(spread, 1.0) / len(ordered))
    low, high = (
        min(len(ordered) - 1, max(0, math.ceil(end * len(ordered)) - 1))
        for end in (p - half, p + half)
    )
    return float(ordered[low]) / 1e3, float(ordered[high]) / 1e3


def _doubt(run: LoadResult, found: Decision, share: float, value: float, budget: float) -> str:
    least = needed(share)
    if len(run.latency_us) < least:
        return f"at least {least} answers are needed to tell: measure longer"
    if run.duration_s < MARGINS[0][1]:
        return f"at least {MARGINS[0][1]:g} s are needed to tell: measure longer"
    if found.quiet < 0.5 and not value <= budget:
        return _noise_words(run).removeprefix("; ")
    return "too near to tell"


def _noise_words(run: LoadResult) -> str:
    if not run.foreign_series:
        return (
            "; what else the machine did was not measured: judge a server that pytest-triton "
            "starts, or name its processes"
        )
    return "; the machine was too noisy to tell"


def _texts(run: LoadResult) -> str:
    texts = "; ".join(f"{n}× {text}" for text, n in run.error_texts.most_common(3))
    return f": {texts}" if texts else ""
