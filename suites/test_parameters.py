"""Request parameters: what reaches the model, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from pytest_triton.evidence import Evidence
from pytest_triton.model_errors import grpc_refusal
from pytest_triton.parameters import reported, same_values
from pytest_triton.probe.codec import bytes_array
from pytest_triton.probe.http import model_path
from pytest_triton.probe.types import InferResult
from pytest_triton.probe_set import ECHO
from pytest_triton.subject import Subject
from pytest_triton.wrong import reason_of

TEXT = {"text_input": bytes_array([b"par"], (1,))}


@pytest.mark.clause("PAR-01")
def test_parameters(triton_probes: Subject, triton_evidence: Evidence) -> None:
    grpc = triton_probes.grpc
    assert grpc is not None
    sent = {
        "par_count": 7,
        "par_least": -(2**63),
        "par_greatest": 2**63 - 1,
        "par_on": True,
        "par_off": False,
        "par_text": 'grün "quoted" \\ 三',
        "par_empty": "",
        "par_digits": "7",
    }
    http = triton_probes.http
    answers: dict[str, Callable[[], InferResult]] = {
        "HTTP": lambda: http.infer(ECHO, TEXT, parameters=sent),
        "HTTP with JSON": lambda: http.infer(ECHO, TEXT, parameters=sent, binary=False),
        "gRPC": lambda: grpc.infer(ECHO, TEXT, parameters=sent),
    }
    for protocol, ask in answers.items():
        with triton_evidence.case(protocol):
            text = same_values(reported(ask()), sent)
            assert not text, text


@pytest.mark.clause("PAR-02")
def test_no_such_type(triton_probes: Subject, triton_evidence: Evidence) -> None:
    tensor = {"name": "text_input", "shape": [1], "datatype": "BYTES", "data": ["par-02"]}
    for value in (None, [1], {"a": 1}):
        with triton_evidence.case(json.dumps(value)):
            document = {"inputs": [tensor], "parameters": {"par_refused": value}}
            answer = triton_probes.post(f"{model_path(ECHO)}/infer", document)
            reason = reason_of(answer, 400)
            assert "par_refused" in reason, f"the error does not name the parameter: {reason!r}"


@pytest.mark.clause("PAR-03")
def test_reserved(triton_probes: Subject, triton_evidence: Evidence) -> None:
    asked = {"triton_par": 1}
    with triton_evidence.case("HTTP"):
        tensor = {"name": "text_input", "shape": [1], "datatype": "BYTES", "data": ["par-03"]}
        document = {"inputs": [tensor], "parameters": asked}
        answer = triton_probes.post(f"{model_path(ECHO)}/infer", document)
        reason = reason_of(answer, 400)
        assert "triton_" in reason, f"the error does not name the reserved keys: {reason!r}"
    with triton_evidence.case("gRPC"):
        reason = grpc_refusal(triton_probes, ECHO, TEXT, "INVALID_ARGUMENT", parameters=asked)
        assert "triton_" in reason, f"the error does not name the reserved keys: {reason!r}"


@pytest.mark.clause("PAR-06")
def test_doubles(triton_probes: Subject, triton_evidence: Evidence) -> None:
    grpc = triton_probes.grpc
    assert grpc is not None
    sent = {"par_tenth": 0.1, "par_small": -2.5e-3, "par_large": 1e300, "par_whole": 2.0}
    for protocol, probe in (("HTTP", triton_probes.http), ("gRPC", grpc)):
        with triton_evidence.case(protocol):
            text = same_values(reported(probe.infer(ECHO, TEXT, parameters=sent)), sent)
            assert not text, text
