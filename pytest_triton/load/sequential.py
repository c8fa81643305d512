"""The sequential test of a latency budget: pass, fail, or not yet.

A budget on the p-th percentile says: at most 1 - p/100 of the answers may be late. The test
collects evidence from half a second to the next against "more are late" (then it passes) and
against "no more are late" (then it fails), as the mean of likelihood ratios of several shares,
and decides when the evidence exceeds 1 / error rate: by Ville's inequality it may be looked at
after every window, and measuring on does not make it err more often. Three things keep it
right on a real machine:

- Answers of the same moment are late together. The evidence is divided by the variance of the
  windows' (and of two seconds') late answers over that of independent ones, and half a second
  never counts for more than a few independent answers.
- A machine drifts for seconds. What is decided early has to keep, or break, the budget with a
  margin, which shrinks with the time that was measured: see MARGINS.
- Noise mostly adds latency. Only answers in quiet say that a budget is broken; all of them,
  with a reserve for noise that makes a machine faster, say that it is kept. Noise that nobody
  measured, or that is there throughout, leaves only what is beyond reason: FAR.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pytest_triton.load.noise import Array, Series, quiet
from pytest_triton.load.stats import Verdict

WINDOW_S = 0.5
ALPHA = 0.001
"""Largest rate of false passes, and of false failures, that the evidence allows."""
MARGINS = ((0.10, 4.0), (0.06, 10.0), (0.04, 20.0))
"""Relative distance from the budget, and the seconds of evidence from which it suffices."""
RESERVE = 0.05
"""A disturbed answer speaks for the budget when it keeps it with this much to spare."""
FAR = 4.0
"""Answers beyond this multiple of the budget are not explained by noise."""
_ODDS = (1.4, 2.0, 5.0)
"""Alternatives: how much smaller, or larger, the odds of a late answer are."""
_BATCH = 4


@dataclass(frozen=True, slots=True)
class Decision:
    """``at_s``: seconds from the start at which it fell (NaN: not yet); ``quiet``: the share of
    answers that others did not disturb; ``spread``: variance of late answers over that of
    independent ones; ``by``: "quiet" or "all", the answers that decided."""

    verdict: Verdict
    at_s: float
    quiet: float
    spread: float
    by: str = ""


def needed(share: float) -> int:
    """Answers that decide at the earliest, when none of them is late."""
    best = -math.log1p(-share) + math.log1p(-_alternatives(share, fewer=True)[-1])
    return math.ceil((_threshold() + math.log(len(_ODDS))) / best)


def decide(
    started_s: Array,
    ended_s: Array,
    *,
    share: float,
    budget_s: float,
    series: Series,
) -> Decision:
    """Judge answers, in order of any kind: at most ``share`` may take longer than ``budget_s``.

    ``started_s`` and ``ended_s`` are seconds after the start of the measurement, in which
    ``series`` (from, to, cores) tells what others used.
    """
    if not len(ended_s):
        return Decision("inconclusive", math.nan, math.nan, math.nan)
    latency, budget = ended_s - started_s, budget_s
    window = np.maximum((ended_s / WINDOW_S).astype(np.int64), 0)
    calm = quiet(series, started_s, budget)  # by then it is decided whether an answer is late
    every = np.ones(len(latency), dtype=bool)
    passed: list[tuple[float, str]] = []
    failed: list[tuple[float, str]] = []
    spread = 1.0
    for margin, seconds in MARGINS:
        kept = budget * (1 - margin)
        reserved = latency > np.where(calm, kept, kept * (1 - RESERVE))
        for by, mask, late in (("quiet", calm, latency > kept), ("all", every, reserved)):
            at, seen = _crossing(window[mask], late[mask], share, fewer=True, seconds=seconds)
            passed.append((at, by))
            spread = max(spread, seen)
        late = latency[calm] > budget * (1 + margin)
        failed.append((_crossing(window[calm], late, share, fewer=False, seconds=seconds)[0],
                       "quiet"))  # fmt: skip
    far = _crossing(window, latency > budget * FAR, share, fewer=False, seconds=MARGINS[0][1])
    failed.append((far[0], "all"))
    good, bad = min(passed), min(failed)
    told = (float(calm.mean()), spread)
    # a run that was good once and bad at another time has no single answer
    if math.isfinite(good[0]) and math.isfinite(bad[0]):
        return Decision("inconclusive", math.nan, *told)
    if math.isfinite(bad[0]):
        return Decision("fail", bad[0], *told, bad[1])
    if math.isfinite(good[0]):
        return Decision("pass", good[0], *told, good[1])
    return Decision("inconclusive", math.nan, *told)


def _crossing(
    window: Array, late: Array, share: float, *, fewer: bool, seconds: float
) -> tuple[float, float]:
    """(seconds from the start at which the evidence suffices, or inf; spread at the end)."""
    if not len(window):
        return math.inf, 1.0
    size = int(window.max()) + 1
    answers = np.bincount(window, minlength=size).astype(np.float64)
    over = np.bincount(window, weights=late, minlength=size)
    seen = np.flatnonzero(answers)
    answers, over = answers[seen], over[seen]
    # half a second holds no more than so many answers that are independent of each other
    weight = np.minimum(1.0, max(20.0, 3 / share) / answers)
    spread = np.maximum(_spread(answers, over, weight), _spread_of_batches(answers, over, weight))
    total = np.full((len(_ODDS), len(seen)), -math.inf)
    for row, other in enumerate(_alternatives(share, fewer=fewer)):
        ratio = over * math.log(other / share) + (answers - over) * math.log(
            (1 - other) / (1 - share)
        )
        total[row] = np.cumsum(weight * ratio) / spread
    evidence = np.logaddexp.reduce(total, axis=0) - math.log(len(_ODDS))
    enough = (evidence >= _threshold()) & (np.arange(1, len(seen) + 1) * WINDOW_S >= seconds)
    at = np.flatnonzero(enough)
    return (float(seen[at[0]] + 1) * WINDOW_S if len(at) else math.inf), float(spread[-1])


def _spread(answers: Array, over: Array, weight: Array) -> Array:
    """After each window: variance of the weighted late answers ÷ that of independent ones."""
    count = np.arange(1, len(answers) + 1)
    rate = np.cumsum(weight * over) / np.cumsum(weight * answers)
    square = (
        np.cumsum(weight * over**2 / answers)
        - 2 * rate * np.cumsum(weight * over)
        + rate**2 * np.cumsum(weight * answers)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        found = square / (rate * (1 - rate) * (count - 1))
    clean: Array = np.maximum(1.0, np.nan_to_num(found, nan=1.0, posinf=1.0))
    return clean


def _spread_of_batches(answers: Array, over: Array, weight: Array) -> Array:
    whole = len(answers) // _BATCH
    found = np.ones(len(answers))
    if whole >= 2:
        cut = whole * _BATCH
        summed = [part[:cut].reshape(whole, _BATCH).sum(1) for part in (answers, over)]
        mean = weight[:cut].reshape(whole, _BATCH).mean(1)
        steps = np.repeat(_spread(summed[0], summed[1], mean), _BATCH)
        # a batch tells of itself when it is whole
        found[_BATCH - 1 :] = steps[: len(found) - _BATCH + 1]
    return found


def _alternatives(share: float, *, fewer: bool) -> list[float]:
    odds = share / (1 - share)
    others = [odds / factor if fewer else odds * factor for factor in _ODDS]
    return [other / (1 + other) for other in others]


def _threshold() -> float:
    # two kinds of answers at every margin may decide
    return math.log(2 * len(MARGINS) / ALPHA)
