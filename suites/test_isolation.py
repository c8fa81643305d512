"""Stage 03: each request gets its own answer: in a crowd, again and again, beside odd rows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_triton.compare import largest_difference, mismatch
from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.evidence import Evidence
from pytest_triton.isolating import Crowd, alone, crowd_grpc, crowd_http
from pytest_triton.odd_rows import odd_row_flaw
from pytest_triton.subject import Subject
from pytest_triton.varying import batching_floats

#: How often the same request is asked, with another one in between.
AGAIN = 12


def in_crowds(subject: Subject, evidence: Evidence, ask: Callable[..., Crowd]) -> None:
    for name in subject.unary:
        with evidence.case(name):
            crowd = ask(subject, name, alone(subject, name))
            evidence.measure(f"{name} concurrent answers read", crowd.checked, "answers")
            evidence.measure(f"{name} in flight", crowd.in_flight, "requests")
            assert not (text := crowd.told()), text


@pytest.mark.clause("ACC-05")
def test_isolation(triton_subject: Subject, triton_evidence: Evidence) -> None:
    in_crowds(triton_subject, triton_evidence, crowd_http)


@pytest.mark.clause("ACC-06")
def test_grpc_isolation(triton_subject: Subject, triton_evidence: Evidence) -> None:
    in_crowds(triton_subject, triton_evidence, crowd_grpc)


@pytest.mark.clause("ACC-07")
def test_deterministic(triton_subject: Subject, triton_evidence: Evidence) -> None:
    worst, bits = 0.0, 0
    asked = 0
    for name in triton_subject.unary:
        with triton_evidence.case(name):
            first, *others = triton_subject.distinct(name, 4)
            wanted = triton_subject.answer(name, first)
            for number in range(AGAIN):
                if others:
                    triton_subject.answer(name, others[number % len(others)])
                got = triton_subject.answer(name, first, request_id=f"acc-07-{number}")
                asked += 1
                bits += not mismatch(got.outputs, wanted.outputs, rtol=0, atol=0)
                text = mismatch(
                    got.outputs,
                    wanted.outputs,
                    datatypes=wanted.datatypes,
                    rtol=first.rtol,
                    atol=first.atol,
                )
                assert not text, f"asked {number + 2} times, the answer changed: {text}"
                worst = max(
                    [worst]
                    + [largest_difference(got[key], value) for key, value in wanted.outputs.items()]
                )
    triton_evidence.need("model that answers one request with one response")
    triton_evidence.measure("the same answer, again", worst, "absolute")
    triton_evidence.measure("bit for bit the same", 100 * bits / max(asked, 1), "%")


@pytest.mark.clause("ACC-10")
def test_odd_rows_stay_alone(triton_subject: Subject, triton_evidence: Evidence) -> None:
    models = batching_floats(triton_subject)
    if not models:
        raise NotAssessed(
            Reason.NOT_APPLICABLE, "no model takes three rows of floating-point numbers"
        )
    for name in models:
        with triton_evidence.case(name):
            assert not (text := odd_row_flaw(triton_subject, name)), text
