"""More than a server can take: bursts, and a rate beyond saturation, and what is left behind."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

import numpy as np

from pytest_triton.load.plan import trace
from pytest_triton.load.result import LoadResult
from pytest_triton.measuring import deadline_for, drive, drive_open
from pytest_triton.subject import Subject
from pytest_triton.timing import runs

#: Requests of a burst, and bursts, each a second behind the one before.
BURST, BURSTS = 32, 3
#: A burst has to be worked off in this many times what the server needs for as many requests.
TIMES, MORE_MS = 3.0, 250.0
#: Beyond saturation: this many times what eight clients reach, for so many seconds.
OVERLOAD, OVERLOAD_S = 2.0, 2.0
#: Share of that throughput that has to be kept under overload.
KEPT = 0.5
#: Connections that overload comes over, and seconds that a request may take.
CONNECTIONS, PATIENCE_S = 128, 20.0
#: Behind it: times the latency of before, in ms more, that is recovered; seconds to get there.
RECOVERED, RECOVERED_MS, WITHIN_S = 3.0, 20.0, 10.0
#: What a server may say that has too much to do: 503 and 429, and what queue policies say.
TOO_MUCH = re.compile(
    r"^(503|429)\b|Exceeds maximum queue size|Request timeout expired|UNAVAILABLE|RESOURCE_EXHAUSTED"
)

#: What the load engine says of a request that waited too long.
_UNANSWERED = re.compile(r"not sent within|no whole answer within")


@dataclass(frozen=True, slots=True)
class Burst:
    """How long bursts took to be worked off, in ms, each from its planned time."""

    drained_ms: tuple[float, ...]
    allowed_ms: float
    result: LoadResult


def burst(subject: Subject) -> Burst:
    """Requests that come at one moment, as users do behind a retry or a timer."""
    subject.permit(BURST)
    name, requests = runs.requests_of(subject)
    rate = runs.busy(subject).result.throughput_rps
    allowed = TIMES * BURST / rate * 1e3 + MORE_MS + 2 * runs.network_ms(subject)
    gap = max(1.0, 1.5 * allowed / 1e3)
    times = [0.2 + at * gap for at in range(BURSTS) for _ in range(BURST)]
    result = drive_open(
        subject, name, requests, trace=trace([0.0, *times]), warmup_s=0.0, connections=BURST,
    )  # fmt: skip
    planned = np.asarray(result.ended_s) - np.asarray(result.latency_us) / 1e6
    drained = []
    for at in range(BURSTS):
        inside = np.abs(planned - (0.2 + at * gap)) < 1e-3
        if inside.any():
            drained.append(float(np.asarray(result.latency_us)[inside].max()) / 1e3)
    return Burst(tuple(drained), allowed, result)


@dataclass(frozen=True, slots=True)
class Overload:
    """A rate beyond saturation: good answers a second while it lasted, and what came behind."""

    rate: float
    throughput: float
    wanted: float
    result: LoadResult
    before_ms: float
    after_ms: float
    after: LoadResult
    #: Seconds behind the overload, of which 0.7 are those of the measurement.
    recovery_s: float

    @property
    def unexpected(self) -> list[str]:
        """Errors of the server that are no way of saying "too much"."""
        return [
            text for text in self.result.error_texts
            if not TOO_MUCH.search(text) and not _UNANSWERED.match(text)
        ]  # fmt: skip

    @property
    def unanswered(self) -> int:
        """Requests that were neither answered nor refused within their deadline."""
        texts = self.result.error_texts
        return sum(count for text, count in texts.items() if _UNANSWERED.match(text))

    @property
    def allowed_ms(self) -> float:
        """The median that is recovered."""
        return max(RECOVERED * self.before_ms, self.before_ms + RECOVERED_MS)


def overload(subject: Subject) -> Overload:
    """Twice what it can do for two seconds, until all is answered; then one request at a time."""
    subject.permit(CONNECTIONS)
    name, requests = runs.requests_of(subject)
    before = runs.alone(subject)
    most = runs.busy(subject).result.throughput_rps
    result = drive_open(
        subject, name, requests, rate=OVERLOAD * most, duration_s=OVERLOAD_S, warmup_s=0.0,
        timeout_s=max(PATIENCE_S, deadline_for(subject, name, CONNECTIONS)),
        connections=CONNECTIONS,
    )  # fmt: skip
    usual = float(np.median(before.latency_ms))
    # until the last answer: a window that starts empty has none of a slow batch's in it
    took = max(result.duration_s, float(result.ended_s.max(initial=0.0)))
    ended = time.monotonic()
    while True:
        after = drive(subject, name, requests, concurrency=1, duration_s=0.5, warmup_s=0.2,
                      timeout_s=PATIENCE_S)  # fmt: skip
        median = float(np.median(after.latency_us)) / 1e3 if len(after.latency_us) else float("inf")
        found = Overload(
            OVERLOAD * most, len(result.latency_us) / took, KEPT * most, result, usual, median,
            after, time.monotonic() - ended,
        )  # fmt: skip
        if median <= found.allowed_ms or found.recovery_s > WITHIN_S:
            return found
