"""One level after the other, and what the whole sweep says: the knee, and what limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_triton.launch.machine import cpu
from pytest_triton.load.engine import closed_loop, open_loop
from pytest_triton.load.plan import Arrivals, Plan
from pytest_triton.load.records import PERCENTILES, Record
from pytest_triton.load.requests import PreparedRequest, Protocol
from pytest_triton.load.result import LoadResult
from pytest_triton.load.trust import OCCUPIED
from pytest_triton.loading.levels import Level
from pytest_triton.loading.target import Target

#: The knee is the smallest load that gives so much of the best throughput.
KNEE = 0.95
#: Share of the time for which instances work that is "busy".
BUSY = 0.8
ENGINE = "pytest-triton"


@dataclass(frozen=True)
class Wanted:
    """What is measured, at every level."""

    protocol: Protocol = "http"
    duration_s: float = 5.0
    warmup_s: float = 0.5
    batch: int = 1
    arrivals: Arrivals = "constant"
    trace: Plan | None = None
    check_every: int = 10
    timeout_s: float = 10.0
    processes: int | None = None
    connections: int = 1000


@dataclass(frozen=True)
class Measured:
    """One level: what was asked for, its samples, and how long instances worked (0 to 1)."""

    level: Level
    result: LoadResult
    busy: float


def sweep(
    target: Target, wanted: Wanted, levels: Sequence[Level],
    say: Callable[[str], None] | None = None, each: Callable[[Measured], None] | None = None,
) -> list[Measured]:  # fmt: skip
    """Measure every level. A server that is gone half way ends it with ConnectionFailed."""
    requests = target.prepared(wanted.protocol, wanted.batch)
    made = []
    for level in levels:
        result = drive(target, wanted, requests, level, say)
        found = Measured(level, result, _busy(target, result))
        made.append(found)
        if each:
            each(found)
    return made


def drive(
    target: Target, wanted: Wanted, requests: Sequence[PreparedRequest], level: Level,
    say: Callable[[str], None] | None,
) -> LoadResult:  # fmt: skip
    """One level, in a closed or an open loop."""
    url = target.http_url if wanted.protocol == "http" else target.grpc_url
    assert url is not None
    common: dict[str, Any] = {
        "warmup_s": wanted.warmup_s, "check_every": wanted.check_every, "seed": target.seed,
        "timeout_s": wanted.timeout_s, "headers": target.headers, "tls": target.tls,
        "server_pids": target.processes(), "counters": target.counters, "progress": say,
    }  # fmt: skip
    if level.concurrency is not None:
        return closed_loop(
            url, requests, concurrency=level.concurrency, duration_s=wanted.duration_s,
            processes=wanted.processes or 1, **common,
        )  # fmt: skip
    return open_loop(
        url, requests, rate=None if wanted.trace else level.rate, trace=wanted.trace,
        duration_s=None if wanted.trace else wanted.duration_s, arrivals=wanted.arrivals,
        connections=wanted.connections, processes=wanted.processes, **common,
    )  # fmt: skip


def _busy(target: Target, result: LoadResult) -> float:
    """Share of the window for which the instances worked; NaN where the server does not tell."""
    if result.served is None or result.duration_s <= 0 or not result.served.batches:
        return math.nan
    return result.served.busy_ns / 1e9 / result.duration_s / target.instances


def record(measured: Measured, model: str) -> Record:
    """The numbers of one level."""
    result = measured.result
    latency = result.latency_us
    percentiles = {f"p{q}": result.percentile_ms(q) * 1e3 for q in PERCENTILES}
    mean = float(latency.mean()) if len(latency) else math.nan
    more: dict[str, Any] = {
        "wrong": result.wrong,
        "checked": result.checked,
        "inferences_per_s": result.inferences,
        "foreign_cpu": result.foreign_cpu,
        "client_cpu_us": result.client_cpu_s * 1e6 / result.good if result.good else math.nan,
        "doubts": list(result.doubts),
        "lateness": result.lateness,
        "machine": cpu(),
        "error_texts": dict(result.error_texts.most_common(5)),
        "wrong_texts": dict(result.wrong_texts.most_common(5)),
    }
    if measured.level.concurrency is None and len(result.slept_us):
        late = np.percentile(result.slept_us, [50, 99, 100])
        more["planned"] = result.planned
        more["arrivals"] = result.arrivals
        more["late_us"] = {"p50": late[0], "p99": late[1], "max": late[2]}
    server = result.served.to_json() if result.served else {}
    return Record(
        result.protocol, result.requests, result.errors, result.duration_s, result.throughput_rps,
        {"mean": mean, **percentiles}, measured.level.concurrency, measured.level.rate, model,
        ENGINE, {**server, "busy": measured.busy} if server else {}, more,
    )  # fmt: skip


def conclusion(measured: Sequence[Measured]) -> str:
    """One line: the knee, what limits there, and what others used of the machine meanwhile."""
    good = [one for one in measured if one.result.throughput_rps > 0]
    if not good:
        return "no answer at any level"
    parts = []
    closed = [one for one in good if one.level.concurrency is not None]
    if len(closed) > 1:
        best = max(one.result.throughput_rps for one in closed)
        knee = next(one for one in closed if one.result.throughput_rps >= KNEE * best)
        if knee is closed[-1]:
            parts.append(f"no knee up to concurrency {knee.level.concurrency}")
        else:
            parts.append(f"knee at concurrency {knee.level.concurrency}")
        parts.append(limit(knee))
    foreign = [one.result.foreign_cpu for one in good]
    if all(map(math.isfinite, foreign)):
        parts.append(f"foreign load {max(foreign):.2f} cores at most")
    else:
        parts.append("foreign load unknown")
    return " · ".join(parts)


def limit(measured: Measured) -> str:
    """What keeps this level from more, as far as the counters say."""
    result = measured.result
    if result.client_busy > OCCUPIED:
        return "limited by this client (more --processes)"
    if measured.busy >= BUSY:
        return "limited by compute"
    if math.isnan(measured.busy):
        return "the server does not tell what limits"
    return f"instances work {measured.busy:.0%} of the time"
