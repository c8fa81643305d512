"""Stage 03: measured numbers that hold together."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_triton.criteria import Inconclusive
from pytest_triton.evidence import Evidence
from pytest_triton.load.trust import ENOUGH, LITTLE, OCCUPIED, in_flight
from pytest_triton.measuring import drive, heaviest_of, prepare
from pytest_triton.subject import Subject
from pytest_triton.timing.runs import restless

CONCURRENCY = 4
#: Windows whose throughput shows how steady it was.
WINDOWS = 20


@pytest.mark.clause("LAT-01")
def test_consistent(triton_subject: Subject, triton_evidence: Evidence) -> None:
    name = heaviest_of(triton_subject, triton_subject.pytorch)[0]
    requests = prepare(triton_subject, name)
    triton_subject.permit(CONCURRENCY)
    run = drive(triton_subject, name, requests, concurrency=CONCURRENCY, duration_s=2.0)
    triton_evidence.model = name
    assert not run.errors, f"{run.errors} errors: {run.error_texts.most_common(2)}"
    assert not run.wrong, f"{run.wrong} wrong answers: {run.wrong_texts.most_common(2)}"
    latencies = np.asarray(run.latency_us) / 1e3
    if len(latencies) < ENOUGH:
        raise Inconclusive(f"only {len(latencies)} answers in {run.duration_s:.1f} s")
    p50, p95, p99 = (run.percentile_ms(q) for q in (50, 95, 99))
    concurrency = in_flight(run)
    counts, edges = np.histogram(run.ended_s, bins=WINDOWS, range=(0, run.duration_s))
    rates = (counts / np.diff(edges)).tolist()
    triton_evidence.measure("throughput", run.throughput_rps, "requests/s", samples=rates)
    triton_evidence.latency(latencies, ended_s=run.ended_s)
    triton_evidence.measure("foreign CPU", run.foreign_cpu, "cores")
    triton_evidence.measure("Little's law", concurrency, "requests in flight", budget=CONCURRENCY)
    assert 0 < p50 <= p95 <= p99, f"percentiles are not ordered: {p50}, {p95}, {p99}"
    off = abs(concurrency - run.concurrency) / run.concurrency
    if off > LITTLE and (run.client_busy > OCCUPIED or restless(run)):
        raise Inconclusive(f"{concurrency:.2f} requests in flight on average: this machine is busy")
    assert off <= LITTLE, (
        f"throughput times latency is {concurrency:.2f} requests in flight, "
        f"{run.concurrency} were kept in flight"
    )
