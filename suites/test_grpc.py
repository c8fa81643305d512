"""Stage 03: gRPC requests that are wrong, late or many: each gets its own answer."""

from __future__ import annotations

import pytest

from pytest_triton.backlog import cancelled_in_queue, ended, turn
from pytest_triton.compare import mismatch
from pytest_triton.declined import declined, says
from pytest_triton.evidence import Evidence
from pytest_triton.messages import (
    WITH_FINAL,
    WRONG_PARAMETERS,
    addsub_inputs,
    both_contents,
    on_one_stream,
    short_contents,
    wrong_field,
)
from pytest_triton.probe.grpc import GrpcProbe
from pytest_triton.probe.protobuf import infer_request
from pytest_triton.probe_set import ADDSUB
from pytest_triton.subject import Subject

NOBODY = "pytest_triton_unknown_model"
NO_VERSION = "987654321"
WRONG = "INVALID_ARGUMENT"
#: Requests on one stream.
COUNT = 4
SAMPLE = "model with an input whose tensors travel as JSON"


def _grpc(subject: Subject) -> GrpcProbe:
    assert subject.grpc is not None
    return subject.grpc


@pytest.mark.clause("GRP-02")
def test_both_contents(triton_subject: Subject, triton_evidence: Evidence) -> None:
    grpc = _grpc(triton_subject)
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            request, tensor = both_contents(name, case)
            request.id = "grp-02"
            says(declined(WRONG, grpc.call, "ModelInfer", request), tensor, "contents")
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("GRP-03")
def test_fewer_contents(triton_probes: Subject) -> None:
    request = infer_request(ADDSUB, addsub_inputs(triton_probes.settings.seed), request_id="grp-03")
    del request.raw_input_contents[-1]
    told = declined(WRONG, _grpc(triton_probes).call, "ModelInfer", request)
    says(told, request.inputs[1].name, ADDSUB)


@pytest.mark.clause("GRP-04")
def test_wrong_field(triton_subject: Subject, triton_evidence: Evidence) -> None:
    grpc = _grpc(triton_subject)
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            request, tensor, datatype = wrong_field(name, case)
            request.id = "grp-04"
            says(declined(WRONG, grpc.call, "ModelInfer", request), tensor, datatype)
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("GRP-05")
def test_short_contents(triton_subject: Subject, triton_evidence: Evidence) -> None:
    grpc = _grpc(triton_subject)
    for name, case in triton_subject.json_samples():
        for raw in (True, False):
            made = short_contents(name, case, raw=raw)
            if made is None:
                continue
            with triton_evidence.case(f"{name}, {'raw' if raw else 'typed'}"):
                request, tensor, expected, sent = made
                request.id = "grp-05"
                told = declined(WRONG, grpc.call, "ModelInfer", request)
                says(told, tensor, expected, sent)
    triton_evidence.need("model with an input of numbers that has two elements")


@pytest.mark.clause("GRP-06")
def test_deadline(triton_probes: Subject) -> None:
    grpc = _grpc(triton_probes)
    end = ended(turn, triton_probes, 600, protocol=grpc, timeout=0.2, request_id="grp-06")
    assert end == "DEADLINE_EXCEEDED", f"the call ends with {end or 'an answer'}"
    assert grpc.live(), "not live after a client's deadline"
    turn(triton_probes, 0, protocol=grpc, request_id="grp-06 next")


@pytest.mark.clause("GRP-07")
def test_wrong_parameters(triton_subject: Subject, triton_evidence: Evidence) -> None:
    grpc = _grpc(triton_subject)
    for name, case in triton_subject.json_samples():
        for parameter, value in WRONG_PARAMETERS:
            with triton_evidence.case(f"{name}, {parameter}"):
                told = declined(WRONG, grpc.infer, name, case.inputs, parameters={parameter: value})
                says(told, parameter)
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("GRP-08")
def test_error_on_a_stream(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            right = triton_subject.answer(name, case)
            good = infer_request(name, case.inputs, request_id="grp-08 first")
            bad = infer_request(
                name, case.inputs, outputs=["no_such_output"], request_id="grp-08 bad"
            )
            last = infer_request(name, case.inputs, request_id="grp-08 last")
            answers = on_one_stream(
                _grpc(triton_subject), [good, bad, last], version=right.model_version
            )
            ids = [answer.id for answer in answers]
            assert ids == [good.id, bad.id, last.id], f"answers to {ids}"
            failed = [answer.id for answer in answers if answer.error]
            assert failed == [bad.id], f"errors for {failed}, wrong is only {bad.id!r}"
            says(answers[1].error, "no_such_output")
            for answer in (answers[0], answers[2]):
                text = mismatch(answer.result.outputs, right.outputs, datatypes=right.datatypes)
                assert not text, f"{answer.id}, beside a wrong one: {text}"
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("GRP-10")
def test_not_found(triton_subject: Subject, triton_evidence: Evidence) -> None:
    status = triton_subject.error_status(404)
    samples = triton_subject.json_samples()[:1]
    asked = [(NOBODY, "", case) for _, case in samples]
    asked += [(name, NO_VERSION, case) for name, case in samples]
    for model, version, case in asked:
        with triton_evidence.case(f"{model} {version}".strip()):
            over_http = declined(
                status, triton_subject.http.infer, model, case.inputs, version=version
            )
            over_grpc = declined(
                "NOT_FOUND", _grpc(triton_subject).infer, model, case.inputs, version=version
            )
            says(over_grpc, model, version)
            assert over_grpc == over_http, f"{over_grpc!r} over gRPC, {over_http!r} over HTTP"
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("GRP-11")
def test_many_on_a_stream(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, _ in triton_subject.json_samples():
        with triton_evidence.case(name):
            cases = triton_subject.varied(name, COUNT)[:COUNT]
            right = [triton_subject.answer(name, case) for case in cases]
            requests = [
                infer_request(name, case.inputs, request_id=f"grp-11 {at}")
                for at, case in enumerate(cases)
            ]
            answers = on_one_stream(_grpc(triton_subject), requests, version=right[0].model_version)
            ids = [answer.id for answer in answers]
            assert ids == [request.id for request in requests], f"answers to {ids}, in this order"
            for answer, wanted in zip(answers, right, strict=True):
                assert not answer.error, f"{answer.id}: {answer.error}"
                text = mismatch(answer.result.outputs, wanted.outputs, datatypes=wanted.datatypes)
                assert not text, f"{answer.id}, against the same request alone: {text}"
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("GRP-12")
def test_cancelled_in_queue(triton_probes: Subject) -> None:
    seen = cancelled_in_queue(triton_probes)
    assert seen.status == "DEADLINE_EXCEEDED", f"the call ends with {seen.status or 'an answer'}"
    assert seen.after == seen.before + 1, (
        f"the turns before and after it are {seen.before} and {seen.after}: it was executed"
    )


@pytest.mark.clause("DEC-03")
def test_one_response(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            right = triton_subject.answer(name, case)
            for asked in ({}, WITH_FINAL):
                request = infer_request(name, case.inputs, parameters=asked, request_id="dec-03")
                answers = on_one_stream(
                    _grpc(triton_subject), [request], version=right.model_version
                )
                assert len(answers) == 1, f"{len(answers)} responses, {asked or 'nothing'} asked"
                (answer,) = answers
                assert not answer.error, f"refused: {answer.error}"
                assert answer.id == request.id, f"id {answer.id!r}, sent {request.id!r}"
                text = mismatch(answer.result.outputs, right.outputs, datatypes=right.datatypes)
                assert not text, f"over a stream: {text}"
            assert answer.final is True, f"triton_final_response is {answer.final!r}"
    triton_evidence.need(SAMPLE)
