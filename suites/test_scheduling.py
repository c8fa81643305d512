"""Stage 03: the queue: who waits, for how long, and who goes first."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_triton.asking import json_request
from pytest_triton.backlog import Turn, crowd, overtaking, timed_out, turn
from pytest_triton.declined import reason, says
from pytest_triton.evidence import Evidence
from pytest_triton.probe.http import model_path
from pytest_triton.probe.types import RequestFailed
from pytest_triton.probe_set import QUEUE
from pytest_triton.subject import Subject

SAMPLE = "model with an input whose tensors travel as JSON"


@pytest.mark.clause("SCH-01")
def test_full_queue(triton_probes: Subject) -> None:
    outcomes = crowd(triton_probes)
    refused = [each for each in outcomes if isinstance(each, RequestFailed)]
    assert refused, f"all of {len(outcomes)} requests are answered, one may wait behind the first"
    status = triton_probes.error_status(503)
    for error in refused:
        assert error.status == status, f"refused with {error}, expected {status}"
        says(error.message, "queue size")
    turn(triton_probes, 0, model=QUEUE, request_id="sch-01 after")


@pytest.mark.clause("SCH-02")
def test_wrong_timeout(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        for wrong in ("soon", -1):
            with triton_evidence.case(f"{name}, timeout {wrong!r}"):
                request = {**json_request(case), "parameters": {"timeout": wrong}}
                answer = triton_subject.post(f"{model_path(name)}/infer", request)
                says(reason(answer, 400, 500), "timeout")
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("SCH-03")
def test_priority(triton_probes: Subject) -> None:
    seen = overtaking(triton_probes)
    assert seen.high < min(seen.low), (
        f"priority 1 is executed in turn {seen.high}, priority 2 in {sorted(seen.low)}"
    )


def _ways(subject: Subject) -> dict[str, tuple[Any, int | str]]:
    """The protocols, and the status of a refusal with UNAVAILABLE."""
    ways: dict[str, tuple[Any, int | str]] = {"HTTP": (None, subject.error_status(503))}
    if subject.grpc is not None:
        ways |= {"gRPC": (subject.grpc, "UNAVAILABLE")}
    return ways


@pytest.mark.clause("SCH-04")
def test_timeout(triton_probes: Subject, triton_evidence: Evidence) -> None:
    for name, (protocol, status) in _ways(triton_probes).items():
        with triton_evidence.case(name):
            victim = timed_out(triton_probes, protocol)
            assert not isinstance(victim, Turn), (
                f"answered after {victim.answered - victim.sent:.2f} s, its time-out is 0.05 s"
            )
            assert victim.status == status, f"refused with {victim}, expected {status}"
            says(victim.message, "timeout expired")


@pytest.mark.clause("SCH-05")
def test_negative_priority(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            request = {**json_request(case), "parameters": {"priority": -1}}
            answer = triton_subject.post(f"{model_path(name)}/infer", request)
            says(reason(answer, 400, 500), "priority")
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("SCH-06")
def test_override_without_a_default(triton_probes: Subject, triton_evidence: Evidence) -> None:
    for name, (protocol, _) in _ways(triton_probes).items():
        with triton_evidence.case(name):
            victim = timed_out(triton_probes, protocol, model=QUEUE, request_id="sch-06")
            assert isinstance(victim, Turn), (
                f"the model has no time-out that a request could shorten, and it is {victim}"
            )
