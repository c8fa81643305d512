"""Stage 03: decoupled models over gRPC streams: as many responses as there are, in order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_triton.declined import declined, says
from pytest_triton.evidence import Evidence
from pytest_triton.messages import WITH_FINAL, on_one_stream
from pytest_triton.probe.grpc import GrpcProbe
from pytest_triton.probe.protobuf import infer_request
from pytest_triton.probe_set import STREAM, VERSION
from pytest_triton.streaming import PAUSE_MS, leaving_flaw, stream_flaw, stream_inputs
from pytest_triton.subject import Subject

COUNTS = (1, 2, 7, 30)


def _grpc(subject: Subject) -> GrpcProbe:
    assert subject.grpc is not None
    return subject.grpc


@pytest.mark.clause("DEC-04")
def test_no_response(triton_probes: Subject) -> None:
    inputs = stream_inputs("nothing", 0)
    plain = infer_request(STREAM, inputs, request_id="dec-04")
    answers = on_one_stream(_grpc(triton_probes), [plain], version=VERSION)
    assert not answers, f"{len(answers)} responses, none were asked for"
    marked = infer_request(STREAM, inputs, parameters=WITH_FINAL, request_id="dec-04")
    answers = on_one_stream(_grpc(triton_probes), [marked], version=VERSION)
    assert len(answers) == 1, f"{len(answers)} responses, one empty final response was asked for"
    flaw = stream_flaw(answers, "nothing", 0)
    assert not flaw, flaw
    assert answers[0].id == "dec-04", f"the final response has id {answers[0].id!r}"


@pytest.mark.clause("DEC-05")
def test_unary_over_grpc(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, model in triton_subject.models.items():
        if not model.decoupled:
            continue
        with triton_evidence.case(name):
            inputs = triton_subject.case(name).inputs
            told = declined("UNIMPLEMENTED", _grpc(triton_subject).infer, name, inputs)
            says(told, "decoupled")


@pytest.mark.clause("DEC-06")
def test_count_and_order(triton_probes: Subject, triton_evidence: Evidence) -> None:
    for count in COUNTS:
        with triton_evidence.case(f"COUNT {count}"):
            request = infer_request(
                STREAM, stream_inputs("many", count), parameters=WITH_FINAL, request_id="dec-06"
            )
            answers = on_one_stream(_grpc(triton_probes), [request], version=VERSION)
            flaw = stream_flaw(answers, "many", count)
            assert not flaw, flaw
            ids = {answer.id for answer in answers}
            assert ids == {"dec-06"}, f"the responses have the ids {ids}"


@pytest.mark.clause("DEC-07")
def test_two_on_a_stream(triton_probes: Subject, triton_evidence: Evidence) -> None:
    asked = {"dec-07 one": ("left", 4), "dec-07 two": ("right", 3)}
    requests = [
        infer_request(
            STREAM, stream_inputs(text, count, 10), parameters=WITH_FINAL, request_id=name
        )
        for name, (text, count) in asked.items()
    ]
    answers = on_one_stream(_grpc(triton_probes), requests, version=VERSION)
    strange = {answer.id for answer in answers} - set(asked)
    assert not strange, f"responses with the ids {strange}, which nobody sent"
    for name, (text, count) in asked.items():
        with triton_evidence.case(name):
            flaw = stream_flaw([one for one in answers if one.id == name], text, count)
            assert not flaw, flaw


@pytest.mark.clause("DEC-08")
def test_leaving_a_stream(triton_probes: Subject) -> None:
    def stream(count: int) -> Iterator[object]:
        return _grpc(triton_probes).stream_infer(
            STREAM, stream_inputs("long", count, PAUSE_MS), request_id="dec-08"
        )

    text = leaving_flaw(triton_probes, stream)
    assert not text, f"the client has cancelled the stream, {text}"
