"""Times of spans against what statistics and metrics added for the same requests."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_triton.load.serverside import Reading, reading
from pytest_triton.monitor.metrics import Scrape
from pytest_triton.monitor.truth import DURATIONS
from pytest_triton.subject import Subject
from pytest_triton.tracing.asked import Asked
from pytest_triton.tracing.stamps import ORDER, STAGES, Trace

#: Seconds within which the counters have to show a request that was answered.
SETTLE_S = 3.0
_STEP = 0.05
#: Nanoseconds a request by which a stage may differ: the server takes each of these times once
#: and hands it to the trace and to the counters, which cut it to whole µs.
EACH_NS = 1000
#: Nanoseconds a request by which its span may be longer than its statistics say: they end when
#: the backend reports it, the span when the request is released. Some lines of code lie between
#: (9 to 40 µs were seen), where a busy machine may put the thread aside.
RELEASE_NS = 50_000_000
#: First release seen to export spans aside (2.48): 2.39 does it in between, and releases late.
ASIDE_SINCE = "24.07"
#: The statistic of the whole request, and the family that counts it.
WHOLE, REQUESTS = "success", "nv_inference_request_success"


@dataclass(frozen=True, slots=True)
class Counted:
    """Counters of one model at one moment."""

    statistics: Reading
    requests: float
    #: Statistic -> µs of its family.
    metrics: dict[str, float]

    def __sub__(self, other: Counted) -> Counted:
        return Counted(
            self.statistics - other.statistics,
            self.requests - other.requests,
            {name: value - other.metrics[name] for name, value in self.metrics.items()},
        )

    def ns(self, stage: str) -> int:
        """What the statistics say of a stage, or of the whole request."""
        if stage == WHOLE:
            return self.statistics.request_ns
        return self.statistics.stages_ns.get(stage, 0)


def count(subject: Subject, model: str) -> Counted:
    """Both, now. A family that is missing counts as 0."""
    page: Scrape = subject.scrape()
    return Counted(
        reading(subject.http.statistics(model), model),
        page.value(REQUESTS, model=model) or 0.0,
        {name: page.value(family, model=model) or 0.0 for name, family in DURATIONS.items()},
    )


def counted_since(subject: Subject, model: str, before: Counted, requests: int) -> Counted:
    """What was added once both show so many requests and rest, or after :data:`SETTLE_S`."""
    deadline, last = time.monotonic() + SETTLE_S, None
    while True:
        seen = count(subject, model) - before
        shown = seen.statistics.success == seen.requests == requests
        if (shown and seen == last) or time.monotonic() > deadline:
            return seen
        last = seen
        time.sleep(_STEP)


def missing(traces: Sequence[Trace]) -> list[str]:
    """Timestamps that are not there, without which nothing can be compared."""
    return [
        f"trace {trace.id} has no {name}"
        for trace in traces
        for name in ORDER
        if name not in trace.times
    ]


def spent(traces: Sequence[Trace]) -> dict[str, int]:
    """Nanoseconds of each stage, and of the whole, summed. KeyError without a timestamp."""
    found = {
        stage: sum(trace.lasts(*between) for trace in traces) for stage, between in STAGES.items()
    }
    return {WHOLE: sum(trace.lasts("REQUEST_START", "REQUEST_END") for trace in traces), **found}


def disagreements(traces: Sequence[Trace], added: Counted, *, aside: bool) -> list[str]:
    """Where the traces of all requests contradict the counters; ``aside``: exported aside."""
    requests, said = len(traces), []
    for who, counted in (("statistics", added.statistics.success), ("metrics", added.requests)):
        if counted != requests:
            said.append(f"the {who} count {counted:g} requests, {requests} are traced")
    for stage, ns in spent(traces).items():
        most = EACH_NS * requests
        if stage == WHOLE:
            most = most + RELEASE_NS * requests if aside else ns
        for who, told in (
            ("statistics", float(added.ns(stage))),
            ("metrics", added.metrics[stage] * 1000),
        ):
            if not -EACH_NS * requests <= ns - told <= most:
                name = "request" if stage == WHOLE else stage
                said.append(
                    f"{name}: {ns / 1e6:.3f} ms in the spans, {told / 1e6:.3f} ms in the {who}"
                )
    return said


def to_json(traces: Sequence[Trace], added: Counted) -> dict[str, dict[str, float]]:
    """For the evidence: ms of each stage, all requests together, by who tells them."""
    return {
        stage: {"spans": ns / 1e6, "statistics": added.ns(stage) / 1e6,
                "metrics": added.metrics[stage] / 1e3}
        for stage, ns in spent(traces).items()
    }  # fmt: skip


def overlaps(traces: Sequence[Trace], asked: Sequence[Asked]) -> list[str]:
    """Requests that one instance executed at the same time: each of them sleeps first."""
    said = []
    started = sorted(trace.times["COMPUTE_START"] for trace in traces)
    busy = min(each.busy for each in asked)
    for one, two in itertools.pairwise(started):
        if two - one < busy:
            said.append(
                f"two executions of one instance start {(two - one) / 1e6:.3f} ms apart, "
                f"and each lasts {busy / 1e6:g} ms"
            )
    return said
