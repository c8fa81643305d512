"""A latency as a multiple of another model's, which was measured in turns with it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pytest_triton.load.budgets import Judgement, label_of
from pytest_triton.load.noise import QUIET, cores_in
from pytest_triton.load.stats import Verdict, percentile, ratio_interval

if TYPE_CHECKING:
    from pytest_triton.load.result import LoadResult

CONFIDENCE = 0.998
"""Of the interval of the ratio: 0.1 % on either side, and it may be looked at as pairs come."""
PAIRS = 4
REACH = 1.25
"""Noise does not hit two models alike: beside it, only what is clear by this factor counts."""


def relative(run: LoadResult, of: LoadResult, q: float, times: float) -> Judgement:
    """Judge percentile of ``run`` ÷ percentile of ``of``, at most ``times``.

    The ratios are those of the turns, one by one, so that a drift of the machine cancels; the
    interval is Student's t on their logarithms. Both runs come out of ``triton_load.beside``.
    """
    label = label_of(q)
    name = f"{label}_times"
    value = run.percentile_ms(q) / of.percentile_ms(q) if len(of.latency_us) else math.nan
    for one, whose in ((run, "the model"), (of, "the calibration")):
        if not len(one.latency_us):
            verdict: Verdict = "fail" if one is run and run.errors else "inconclusive"
            reason = f"{label}: no request of {whose} got an answer"
            return Judgement(name, verdict, value, times, reason)
    pairs = list(zip(run.parts, of.parts, strict=False))
    if len(run.parts) != len(of.parts) or len(pairs) < PAIRS:
        reason = (
            f"{label}: {len(run.parts)} turns against {len(of.parts)} are no {PAIRS} pairs: "
            "measure both in turns, with triton_load.beside(model, calibration)"
        )
        return Judgement(name, "inconclusive", value, times, reason)
    ratios, calm = [], []
    for mine, theirs in pairs:
        over, under = (
            _percentile(one, part, q) for one, part in ((run, mine), (of, theirs))
        )  # fmt: skip
        if not (over > 0 and under > 0):
            continue
        ratios.append((over, under))
        calm.append(all(
            cores_in(one.foreign_series, *part) <= QUIET
            for one, part in ((run, mine), (of, theirs))
        ))  # fmt: skip
    if len(ratios) < PAIRS:
        reason = f"{label}: only {len(ratios)} turns have answers enough: measure longer"
        return Judgement(name, "inconclusive", value, times, reason)
    table, still = np.array(ratios), np.array(calm)
    mean, low, high = ratio_interval(table[:, 0], table[:, 1], confidence=CONFIDENCE)
    told = f"{label} is {mean:.3g}× [{low:.3g}, {high:.3g}] that of the calibration, "
    told += f"the budget {times:g}×, {len(ratios)} pairs"
    verdict = "inconclusive"
    if still.sum() >= PAIRS:
        _, least, most = ratio_interval(table[still, 0], table[still, 1], confidence=CONFIDENCE)
        verdict = "pass" if most <= times else "fail" if least > times else verdict
    if verdict == "inconclusive":
        verdict = "pass" if high <= times / REACH else "fail" if low > times * REACH else verdict
    if verdict == "inconclusive":
        noisy = still.mean() < 0.5
        told += "; the machine was too noisy to tell" if noisy else "; too near to tell"
    return Judgement(name, verdict, mean, times, told, (low, high))


def _percentile(run: LoadResult, part: tuple[float, float], q: float) -> float:
    begin, end = part
    inside = run.latency_us[(run.ended_s > begin) & (run.ended_s <= end)]
    return percentile(inside, q) if len(inside) >= 5 / (1 - q / 100) - 1e-9 else math.nan
