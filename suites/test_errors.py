"""Stage 03: errors of the front end, and what inference answers at its edges."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from pytest_triton.asking import json_outputs, json_request, post_json
from pytest_triton.binary import binary_request
from pytest_triton.compare import mismatch
from pytest_triton.evidence import Evidence
from pytest_triton.probe.codec import numpy_dtype
from pytest_triton.probe.http import model_path
from pytest_triton.probe_set import TYPES
from pytest_triton.subject import Subject
from pytest_triton.wrong import (
    SAMPLE,
    reason_of,
    refused,
    refused_grpc,
    refuses_twice,
    says,
)

NOBODY = "pytest_triton_err_09"
HALF = np.array([0.5, 1.0, -2.0], np.float16)


@pytest.mark.clause("ERR-06")
def test_wrong_verb(triton_subject: Subject, triton_evidence: Evidence) -> None:
    name, served = next(iter(triton_subject.unary.items()))
    model = model_path(name)
    for verb, path in (
        ("PUT", "/v2"),
        ("POST", "/v2/health/ready"),
        ("DELETE", model),
        ("POST", f"{model_path(name, served.versions[-1])}/ready"),
        ("POST", f"{model}/stats"),
        ("GET", f"{model}/infer"),
        ("PUT", f"{model}/infer"),
        ("GET", "/v2/repository/index"),
    ):
        with triton_evidence.case(f"{verb} {path}"):
            reason_of(triton_subject.http.request(verb, path), 405)


@pytest.mark.clause("ERR-07")
def test_unknown_route(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for path in (
        "/v1",
        "/v2/health",
        "/v2/health/foo",
        f"/v2/models/{NOBODY}/versions/abc",
        "/v2/foo",
    ):
        with triton_evidence.case(path):
            reason_of(triton_subject.http.request("GET", path), 404)


@pytest.mark.clause("ERR-09")
def test_errors_are_json(triton_subject: Subject, triton_evidence: Evidence) -> None:
    path = model_path(NOBODY)
    good = b'{"inputs": [{"name": "x", "shape": [1], "datatype": "INT32", "data": [1]}]}'
    for verb, place, body in (
        ("GET", "/v2/pytest_triton_err_09", None),
        ("GET", path, None),
        ("GET", f"{path}/config", None),
        ("GET", f"{path}/stats", None),
        ("GET", f"{path}/infer", None),
        ("POST", f"{path}/infer", good),
        ("POST", f"{path}/infer", b"{"),
        ("POST", f"{path}/generate", b"{}"),
    ):
        with triton_evidence.case(f"{verb} {place}"):
            answer = triton_subject.http.request(verb, place, body=body)
            assert answer.status >= 400, f"answers {answer.status}{answer.speaker}"
            document = answer.json()
            assert isinstance(document, dict), f"the body is {document!r:.80}, not an object"
            error = document.get("error")
            assert isinstance(error, str), f"'error' is {error!r:.80}, not a text{answer.speaker}"
            assert error.strip(), "'error' is empty"


@pytest.mark.clause("HLT-08")
def test_ready_of_no_version(triton_subject: Subject, triton_evidence: Evidence) -> None:
    grpc = triton_subject.grpc
    assert grpc is not None
    name = next(iter(triton_subject.models))
    for version in ("abc", "-1"):
        with triton_evidence.case(f"version {version!r}"):
            reason = refused_grpc(partial(grpc.model_ready, name, version), "INVALID_ARGUMENT")
            assert f"'{version}'" in reason, f"the error does not name the version: {reason!r}"


@pytest.mark.clause("INF-10")
def test_output_twice(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            outputs = triton_subject.metadata(name)["outputs"]
            assert outputs, "metadata has no outputs"
            output = outputs[0]["name"]
            request = json_request(case, request_id="inf-10")
            request["outputs"] = [{"name": output}, {"name": output}]
            if refuses_twice(triton_subject, name, request):
                reason = refused(triton_subject, name, request, 400)
                assert not says(reason, output), f"it does not name the output: {reason!r}"
                continue
            answer = post_json(triton_subject, name, request, case)
            names = [tensor["name"] for tensor in json_outputs(answer)]
            assert names == [output], f"{output!r} was asked for twice, {names} came"
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("INF-05")
def test_half_precision(triton_probes: Subject, triton_evidence: Evidence) -> None:
    with triton_evidence.case("input"):
        tensor = {"name": "IN_FP16", "shape": [3], "datatype": "FP16", "data": HALF.tolist()}
        request = {"id": "inf-05", "inputs": [tensor]}
        reason = refused(triton_probes, TYPES, request, 400, 500)
        lacking = says(reason, "FP16", "IN_FP16")
        assert not lacking, f"the error does not name {lacking}: {reason!r}"
    with triton_evidence.case("output"):
        answer = binary_request({"IN_FP16": HALF}, "inf-05-out").send(triton_probes, TYPES)
        reason = reason_of(answer, 400, 500)
        assert not says(reason, "FP16"), f"the error does not name FP16: {reason!r}"


@pytest.mark.clause("INF-06")
def test_not_finite(triton_probes: Subject, triton_evidence: Evidence) -> None:
    for datatype in ("FP32", "FP64"):
        with triton_evidence.case(datatype):
            values = np.array([np.nan, np.inf, -np.inf, 1.5], numpy_dtype(datatype))
            answer = triton_probes.http.infer(
                TYPES, {f"IN_{datatype}": values}, binary=False, request_id="inf-06"
            )
            text = mismatch(answer.outputs, {f"OUT_{datatype}": values}, rtol=0, atol=0)
            assert not text, text
