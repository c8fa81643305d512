"""The way to the model: what a request's latency holds beside the server's own account."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_triton.bottleneck.causes import analyse
from pytest_triton.bottleneck.facts import Facts, Model, facts_of, model_of
from pytest_triton.load.stats import Verdict
from pytest_triton.load.trust import OCCUPIED
from pytest_triton.timing.runs import Timed, restless

#: ms that a request may spend on its way alone, beside two round trips of the network: the
#: server's HTTP front end takes 0.2 to 0.5, the client 0.1 to 0.3 on two slow cores.
OVERHEAD_MS = 3.0
#: Under load: share of the latency, and ms, that may be spent outside the server.
OUTSIDE, OUTSIDE_MS = 0.5, 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """A number with its budget, the verdict and a sentence."""

    verdict: Verdict
    value: float
    budget: float
    reason: str


def overhead(timed: Timed, network_ms: float) -> Finding:
    """One request at a time: the tenth percentile of the latency less the server's mean account.

    Noise makes the account larger and the fastest tenth hardly slower, so what this statistic
    exceeds the budget by is there in almost every request. The median does not excuse: where
    it is over the budget and the fastest tenth is not, nobody can tell.
    """
    inside = timed.inside_ms
    fast, middle = (float(np.percentile(timed.latency_ms, q)) for q in (10, 50))
    budget = OVERHEAD_MS + 2 * network_ms
    told = (
        f"{timed.model}: a request takes {middle:.2f} ms (the fastest tenth {fast:.2f} ms), "
        f"{inside:.2f} ms of it by the server's account: {middle - inside:.2f} ms are spent on "
        f"the way, {budget:.2f} ms are allowed"
    )
    if fast - inside > budget:
        return Finding("fail", fast - inside, budget, told)
    if middle - inside > budget:
        quiet = restless(timed.result)
        return Finding("inconclusive", middle - inside, budget, f"{told}; {quiet or 'not in all'}")
    return Finding("pass", middle - inside, budget, told)


def outside(timed: Timed, network_ms: float) -> Finding:
    """Several at once: where requests wait, by Little's law on both sides.

    What a gateway holds back (one at a time, so many a second) is in flight for the client and
    not for the server.
    """
    mean = float(timed.latency_ms.mean())
    inside = timed.inside_ms
    away = mean - inside
    share = away / mean
    held = share * timed.result.concurrency
    told = (
        f"{timed.model}: of {timed.result.concurrency} requests in flight {held:.1f} are outside "
        f"the server on average ({away:.1f} of {mean:.1f} ms)"
    )
    if share <= OUTSIDE or away <= OUTSIDE_MS + 2 * network_ms:
        return Finding("pass", share, OUTSIDE, told)
    if timed.result.client_busy > OCCUPIED:
        return Finding("inconclusive", share, OUTSIDE, f"{told}; the client was busy itself")
    if quiet := restless(timed.result):
        return Finding("inconclusive", share, OUTSIDE, f"{told}; {quiet}")
    return Finding("fail", share, OUTSIDE, told)


def analysed(alone: Timed, busy: Timed, config: Mapping[str, Any]) -> tuple[Model, list[Facts]]:
    """What is known of the model, one request at a time and several at once."""
    model = model_of(config)
    cores = os.cpu_count() or 1
    return model, [facts_of(one.result, model.instances, cores=cores) for one in (alone, busy)]


def advice(model: Model, levels: Sequence[Facts]) -> str:
    """Where the time goes, what limits, and what to change: for people."""
    found = analyse(levels, model)
    return "\n".join(
        f"{what}: {one.cause.title} ({one.because})\n  → {one.cause.change}"
        for what, one in (("one request", found.latency), ("throughput", found.throughput))
    )
