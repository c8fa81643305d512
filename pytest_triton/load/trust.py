"""Whether a measurement may be believed: its own numbers have to agree with each other.

A doubt is no verdict on the server. It says that this is not a number: the client was the
bottleneck, somebody else asked too, or answers were counted that nobody gave.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pytest_triton.load.result import LoadResult

#: Little's law may be off by so much: concurrency = throughput × mean latency.
LITTLE = 0.15
#: Good answers below which a mean says nothing.
ENOUGH = 50
#: An open loop is late where 1 % of the requests were looked at later than this, in ms, and later
#: than this share of the median latency.
LATE_MS, LATE_SHARE = 5.0, 0.5
#: Share of the time for which a client process computes that leaves it none to be on time.
SATURATED = 0.9
#: A client that computes for this share of the time may be the bottleneck itself.
OCCUPIED = 0.8
#: Foreign cores that are worth a word.
BUSY = 0.25


def doubts(result: LoadResult) -> Iterator[str]:
    """A sentence for each reason not to believe the numbers of ``result``."""
    if result.concurrency and len(result.latency_us) >= ENOUGH and not result.errors:
        yield from _little(result)
    yield from _counted(result)


def in_flight(result: LoadResult) -> float:
    """Requests in flight on average while the window was open: the parts of all latencies that lie
    in it, over its length (Little's law without its edges)."""
    ended = result.ended_s
    began = ended - result.latency_us / 1e6
    inside = np.minimum(ended, result.duration_s) - np.maximum(began, 0.0)
    return float(inside.clip(min=0.0).sum()) / result.duration_s if result.duration_s else 0.0


def _little(result: LoadResult) -> Iterator[str]:
    inside = in_flight(result)
    if not (1 - LITTLE) * result.concurrency <= inside <= (1 + LITTLE) * result.concurrency:
        yield (
            f"throughput times latency is {inside:.2f} requests in flight, {result.concurrency} "
            "were kept in flight: the client is the bottleneck, or answers were lost"
        )


def lateness(result: LoadResult) -> str:
    """Why an open loop's latencies may be the generator's own; empty where it was on time.

    It only ever adds latency: a budget that is kept in spite of it is kept.
    """
    slept = result.slept_us
    if not len(slept):
        return ""
    p99 = float(np.percentile(slept, 99)) / 1e3
    median = float(np.median(result.latency_us)) / 1e3 if len(result.latency_us) else math.inf
    excused = p99 <= LATE_SHARE * median and result.client_busy <= SATURATED
    if p99 <= LATE_MS or excused:
        return ""
    others = (
        f" while others used {result.foreign_cpu:.1f} cores"
        if result.foreign_cpu > BUSY else ""
    )  # fmt: skip
    return (
        f"this machine cannot generate {result.request_rate:g} requests/s on time: 1 % were looked "
        f"at {p99:.1f} ms late or more{others}"
    )


def _counted(result: LoadResult) -> Iterator[str]:
    if result.unread:
        yield f"the server's counters could not be read: {result.unread}"
    if result.planned > result.requests:
        yield f"{result.planned} requests were planned, {result.requests} came to an end"
    counts = result.served_whole
    if counts is None:
        return
    # what the client gave up may have succeeded behind its back
    if not result.good <= counts.success <= result.good + result.bad:
        who = (
            "somebody else asks this model, or a gateway sends requests twice"
            if counts.success > result.good
            else "something between answers by itself, or the statistics are wrong"
        )
        yield f"the client has {result.good} good answers, the server counts {counts.success}: {who}"
