"""Stage 03: every data type at its limits, over every way a tensor can travel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pytest_triton.evidence import Evidence
from pytest_triton.exactly import altered, differ
from pytest_triton.extremes import bit_patterns, extremes, scripts
from pytest_triton.probe.codec import bytes_array
from pytest_triton.probe.types import InferResult
from pytest_triton.probe_set import TYPES
from pytest_triton.subject import Subject

Arrays = dict[str, np.ndarray[Any, Any]]
#: JSON and the typed contents of gRPC have no place for half precision.
HALF = "FP16"
MEGABYTE = b"\xc3\xa9" * (1 << 19)


def inputs(arrays: Arrays) -> Arrays:
    return {f"IN_{datatype}": array for datatype, array in arrays.items()}


def outputs(arrays: Arrays) -> Arrays:
    return {f"OUT_{datatype}": array for datatype, array in arrays.items()}


def each_type(evidence: Evidence, arrays: Arrays, infer: Callable[[Arrays], InferResult]) -> None:
    for datatype, array in arrays.items():
        with evidence.case(datatype):
            text = altered(infer(inputs({datatype: array})), outputs({datatype: array}))
            assert not text, text


@pytest.mark.clause("TYP-01")
def test_json_types(triton_probes: Subject, triton_evidence: Evidence) -> None:
    arrays = {name: array for name, array in extremes().items() if name != HALF}
    each_type(
        triton_evidence,
        arrays,
        lambda sent: triton_probes.http.infer(TYPES, sent, binary=False, request_id="typ-01"),
    )


@pytest.mark.clause("TYP-02")
def test_binary_types(triton_probes: Subject, triton_evidence: Evidence) -> None:
    def infer(sent: Arrays) -> InferResult:
        answer = triton_probes.http.infer(TYPES, sent, request_id="typ-02")
        assert answer.raw_sizes, "the output did not come as binary data"
        return answer

    each_type(triton_evidence, bit_patterns(), infer)


@pytest.mark.clause("TYP-03")
def test_raw_types(triton_probes: Subject, triton_evidence: Evidence) -> None:
    grpc = triton_probes.grpc
    assert grpc is not None
    each_type(
        triton_evidence, bit_patterns(), lambda sent: grpc.infer(TYPES, sent, request_id="typ-03")
    )


@pytest.mark.clause("TYP-04")
def test_typed_types(triton_probes: Subject, triton_evidence: Evidence) -> None:
    grpc = triton_probes.grpc
    assert grpc is not None
    arrays = {name: array for name, array in extremes().items() if name != HALF}
    each_type(
        triton_evidence,
        arrays,
        lambda sent: grpc.infer(TYPES, sent, raw=False, request_id="typ-04"),
    )


@pytest.mark.clause("TYP-05")
def test_bytes(triton_probes: Subject, triton_evidence: Evidence) -> None:
    grpc = triton_probes.grpc
    assert grpc is not None
    text = [*scripts(), MEGABYTE]
    ways: dict[str, tuple[list[bytes], Callable[[Arrays], InferResult]]] = {
        "JSON": (
            text,
            lambda sent: triton_probes.http.infer(TYPES, sent, binary=False, request_id="typ-05"),
        ),
        "binary": (
            [*text, b"\xff\xfe\x00\x80", bytes(range(256))],
            lambda sent: triton_probes.http.infer(TYPES, sent, request_id="typ-05"),
        ),
        "gRPC raw": (
            [*text, b"\xff\xfe\x00\x80", bytes(range(256))],
            lambda sent: grpc.infer(TYPES, sent, request_id="typ-05"),
        ),
        "gRPC typed": (
            [*text, b"\xff\xfe\x00\x80", bytes(range(256))],
            lambda sent: grpc.infer(TYPES, sent, raw=False, request_id="typ-05"),
        ),
    }
    for way, (values, infer) in ways.items():
        with triton_evidence.case(way):
            arrays = {"BYTES": bytes_array(values, (len(values),))}
            found = altered(infer(inputs(arrays)), outputs(arrays))
            assert not found, found


@pytest.mark.clause("TYP-06")
def test_empty_tensors(triton_probes: Subject, triton_evidence: Evidence) -> None:
    grpc = triton_probes.grpc
    assert grpc is not None
    every = {name: array[:0] for name, array in extremes().items()}
    some = {name: array for name, array in every.items() if name != HALF}
    ways: dict[str, tuple[Arrays, Callable[[Arrays], InferResult]]] = {
        "JSON": (
            some,
            lambda sent: triton_probes.http.infer(TYPES, sent, binary=False, request_id="typ-06"),
        ),
        "binary": (every, lambda sent: triton_probes.http.infer(TYPES, sent, request_id="typ-06")),
        "gRPC": (every, lambda sent: grpc.infer(TYPES, sent, request_id="typ-06")),
    }
    for way, (arrays, infer) in ways.items():
        with triton_evidence.case(way):
            text = altered(infer(inputs(arrays)), outputs(arrays))
            assert not text, text


@pytest.mark.clause("TYP-07")
def test_http_equals_grpc(triton_probes: Subject) -> None:
    grpc = triton_probes.grpc
    assert grpc is not None
    arrays = bit_patterns()
    over_http = triton_probes.http.infer(TYPES, inputs(arrays), request_id="typ-07")
    over_grpc = grpc.infer(TYPES, inputs(arrays), request_id="typ-07")
    sent, got = sorted(outputs(arrays)), sorted(over_http.outputs)
    assert got == sent, f"outputs {got}, expected {sent}"
    text = differ(over_http, over_grpc)
    assert not text, f"over HTTP and over gRPC: {text}"
