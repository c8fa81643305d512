"""Stage 04: error rate and availability over a window, TTFT and ITL, by both accounts."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pytest_triton.criteria import Inconclusive
from pytest_triton.evidence import Evidence
from pytest_triton.objectives import window
from pytest_triton.objectives.judging import as_latencies
from pytest_triton.objectives.seen import Seen
from pytest_triton.subject import Subject

_UNITS = {"content": "answers", "error_rate": "share"}


@pytest.mark.clause("SLO-01")
def test_requests_are_answered(triton_subject: Subject, triton_evidence: Evidence) -> None:
    _kept(triton_subject, triton_evidence, window.plain(triton_subject))


@pytest.mark.clause("SLO-02")
def test_streams_are_whole(triton_subject: Subject, triton_evidence: Evidence) -> None:
    _kept(triton_subject, triton_evidence, window.streamed(triton_subject))


def _kept(subject: Subject, evidence: Evidence, windows: Iterable[Seen]) -> None:
    broken: list[str] = []
    doubtful: list[str] = []
    findings: list[str] = []
    for seen in windows:
        _measure(evidence, seen)
        found = window.conclude(subject, seen)
        broken += found.broken
        doubtful += found.doubtful
        findings += found.findings
    if findings:
        evidence.attach("findings.txt", "\n".join(findings))
    assert not broken, "\n".join([*broken, *findings])
    if doubtful:
        raise Inconclusive("\n".join(doubtful))


def _measure(evidence: Evidence, seen: Seen) -> None:
    evidence.model = seen.objective.model
    for found in seen.judged:
        unit = "ms" if found.name.endswith("_ms") else _UNITS.get(found.name, "%")
        name = f"{found.name}, {seen.objective.model} at {seen.load}"
        evidence.measure(name, found.value, unit, budget=found.budget, interval=found.interval)
    for what in ("ttft", "itl") if seen.streams else ():
        samples = as_latencies(seen.run, seen.streams, what)
        evidence.latency(
            samples.latency_us / 1e3, ended_s=samples.ended_s, name=f"{what.upper()}, {seen.load}"
        )
