"""Stage 03: each request gets its own answer: in a crowd, again and again, beside odd rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_triton.compare import largest_difference, mismatch
from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.evidence import Evidence
from pytest_triton.isolating import alone, crowd_grpc, crowd_http, steady
from pytest_triton.probe.cases import InputCase
from pytest_triton.probe.types import InferResult, RequestFailed
from pytest_triton.subject import Subject
from pytest_triton.varying import batching_floats, between, float_inputs, strange

#: How often the same request is asked, with another one in between.
AGAIN = 12


@pytest.mark.clause("ACC-05")
def test_isolation(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name in triton_subject.unary:
        with triton_evidence.case(name):
            crowd = crowd_http(triton_subject, name, alone(triton_subject, name))
            triton_evidence.measure(f"{name} concurrent answers read", crowd.checked, "answers")
            triton_evidence.measure(f"{name} in flight", crowd.in_flight, "requests")
            assert not (text := crowd.told()), text


@pytest.mark.clause("ACC-06")
def test_grpc_isolation(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name in triton_subject.unary:
        with triton_evidence.case(name):
            crowd = crowd_grpc(triton_subject, name, alone(triton_subject, name))
            triton_evidence.measure(f"{name} concurrent answers read", crowd.checked, "answers")
            triton_evidence.measure(f"{name} in flight", crowd.in_flight, "requests")
            assert not (text := crowd.told()), text


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
            distinct = triton_subject.distinct(name, 3)
            first, last = distinct[0], distinct[-1]
            # Whether rows are whose they should be is ACC-04's: here only what the odd one does.
            plain = triton_subject.answer(name, between(first, distinct[len(distinct) // 2], last))
            again = triton_subject.answer(name, between(first, distinct[len(distinct) // 2], last))
            if text := _differs(again, plain, first):
                raise NotAssessed(
                    Reason.NOT_APPLICABLE,
                    f"it answers one request in several ways (see ACC-07): {text}",
                )
            if any(value.shape[:1] != (3,) for value in plain.outputs.values()):
                raise NotAssessed(Reason.NOT_APPLICABLE, "an output has no row for each row")
            floats = float_inputs(triton_subject.models[name])
            if not set(floats) & set(first.inputs):
                raise NotAssessed(Reason.NO_INPUTS, "its known inputs have no floats")
            for what, middle in strange(first, floats):
                whole = between(first, middle, last)
                got, refusal = None, ""
                try:
                    got = triton_subject.http.infer(name, whole.inputs, request_id="acc-10")
                except RequestFailed as error:
                    refusal = str(error)
                if got is None:
                    alike = _refused(triton_subject, name, middle.inputs)
                    assert alike, f"a row of {what} is answered alone, beside others not: {refusal}"
                    continue
                fixed = steady(triton_subject, name, plain.outputs)
                for row in (0, 2):
                    mine, wanted = (
                        replace(answer, outputs={
                            key: value[row : row + 1] for key, value in answer.outputs.items()
                            if key in fixed
                        })
                        for answer in (got, plain)
                    )  # fmt: skip
                    text = _differs(mine, wanted, first)
                    assert not text, f"row {row} beside a row of {what}: {text}"


def _differs(got: InferResult, wanted: InferResult, case: InputCase) -> str | None:
    return mismatch(
        got.outputs, wanted.outputs, datatypes=wanted.datatypes, rtol=case.rtol, atol=case.atol
    )


def _refused(subject: Subject, model: str, inputs: object) -> bool:
    """Whether a request is refused for itself."""
    try:
        subject.http.infer(model, inputs)  # type: ignore[arg-type]
    except RequestFailed:
        return True
    return False
