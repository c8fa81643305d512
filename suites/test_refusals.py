"""Bad requests are refused with a reason, and leave the server unharmed."""

from __future__ import annotations

import pytest

from pytest_triton.asking import bad_requests, json_request
from pytest_triton.compare import mismatch
from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.evidence import Evidence
from pytest_triton.probe.http import model_path
from pytest_triton.subject import Subject
from pytest_triton.wrong import reason_of

NOBODY = "pytest_triton_no_such_model"


@pytest.mark.clause("INF-07")
def test_unknown_model(triton_subject: Subject) -> None:
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "INT32", "data": [1]}]}
    path = f"{model_path(NOBODY)}/infer"
    reason = reason_of(triton_subject.post(path, body), triton_subject.error_status(404))
    assert NOBODY in reason, f"the error does not name the model: {reason!r}"


@pytest.mark.clause("NEG-01")
def test_malformed_json(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name in triton_subject.unary:
        with triton_evidence.case(name):
            answer = triton_subject.http.request(
                "POST", f"{model_path(name)}/infer", body=b'{"inputs": [', headers={}
            )
            reason = reason_of(answer, 400, 500)
            assert "parse" in reason.lower(), f"the error does not say what is wrong: {reason!r}"


@pytest.mark.clause("NEG-05")
def test_missing_inputs(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name in triton_subject.unary:
        required = triton_subject.required_inputs(name)
        if not required:  # a request without inputs is a right one
            continue
        with triton_evidence.case(name):
            reason = reason_of(
                triton_subject.post(f"{model_path(name)}/infer", {"inputs": []}), 400
            )
            assert "0 inputs" in reason, f"the error does not count the inputs: {reason!r}"
            assert name in reason, f"the error does not name the model: {reason!r}"
            assert str(required) in reason, f"{required} are required, the error says {reason!r}"


@pytest.mark.clause("NEG-08")
def test_wrong_datatype(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_cases():
        with triton_evidence.case(name):
            request = json_request(case)
            if not request["inputs"]:
                raise NotAssessed(Reason.NO_INPUTS, "the model has no input")
            tensor = request["inputs"][0]
            right = tensor["datatype"]
            tensor["datatype"] = wrong = "INT32" if right != "INT32" else "INT64"
            count = 1
            for dim in tensor["shape"]:
                count *= dim
            tensor["data"] = [0] * count
            reason = reason_of(triton_subject.post(f"{model_path(name)}/infer", request), 400)
            for word in (tensor["name"], wrong, right):
                assert word in reason, f"the error does not say {word!r}: {reason!r}"


@pytest.mark.clause("NEG-10")
def test_wrong_shape(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_cases():
        with triton_evidence.case(name):
            request = json_request(case)
            if not request["inputs"]:
                raise NotAssessed(Reason.NO_INPUTS, "the model has no input")
            tensor = request["inputs"][0]
            tensor["shape"] = [*tensor["shape"], 1]
            reason = reason_of(triton_subject.post(f"{model_path(name)}/infer", request), 400)
            assert tensor["name"] in reason or "batch" in reason, (
                f"the error names neither the input nor the batch: {reason!r}"
            )
            assert "Expected" in reason or "<=" in reason, (
                f"the error does not say what was expected: {reason!r}"
            )
            assert name in reason, f"the error does not name the model: {reason!r}"


@pytest.mark.clause("NEG-12")
def test_batch_too_large(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, model in triton_subject.unary.items():
        if model.max_batch_size < 1:
            continue
        with triton_evidence.case(name):
            if triton_subject.largest_batch(name) < model.max_batch_size:
                raise NotAssessed(
                    Reason.NO_INPUTS, f"a batch above {model.max_batch_size} is too large to send"
                )
            case = triton_subject.case(name, batch=model.max_batch_size + 1)
            reason = reason_of(triton_subject.http_infer(name, case), 400)
            assert str(model.max_batch_size) in reason, f"the error hides the limit: {reason!r}"
            assert name in reason, f"the error does not name the model: {reason!r}"
    triton_evidence.need("batching model that answers one request with one response")


@pytest.mark.clause("NEG-19")
def test_unknown_output(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.unary_cases():
        with triton_evidence.case(name):
            answer = triton_subject.http_infer(name, case, outputs=["no_such_output"])
            reason = reason_of(answer, 400)
            assert "no_such_output" in reason, f"the error does not name the output: {reason!r}"


@pytest.mark.clause("ERR-10")
def test_unharmed(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.unary_cases():
        with triton_evidence.case(name):
            before = triton_subject.answer(name, case)
            optional = not triton_subject.required_inputs(name)
            for body in bad_requests(case, empty=triton_subject.maps_errors, optional=optional):
                answer = triton_subject.http.request(
                    "POST", f"{model_path(name)}/infer", body=body, headers={}
                )
                assert answer.status >= 400, f"{body[:80]!r} answers {answer.status}"
            after = triton_subject.answer(name, case)
            text = mismatch(after.outputs, before.outputs)
            assert not text, f"after bad requests: {text}"
    assert triton_subject.http.live(), "not live after bad requests"
    assert triton_subject.http.ready() == triton_subject.was_ready, "readiness changed"
