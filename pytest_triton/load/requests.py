"""Requests prepared before the clock starts: the bytes, and what has to come back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from pytest_triton.probe.http import model_path
from pytest_triton.probe.message import decode_infer, encode_infer
from pytest_triton.probe.tolerances import allowed, widened
from pytest_triton.probe.types import Array, HttpAnswer, InferResult, Inputs, MalformedAnswer

Protocol: TypeAlias = Literal["http", "grpc"]


@dataclass(frozen=True, slots=True, eq=False)
class PreparedRequest:
    """One infer request as it goes over the wire, without the Host and what the run adds.

    ``protocol`` http: ``headers`` are whole lines, each with its CRLF; grpc: ``body`` is a
    serialised ModelInferRequest, ``path`` and ``headers`` are empty. ``expected`` holds the outputs that a
    right answer has; ``rtol`` and ``atol`` say how near is right (for floats). ``own`` is what
    the answer has to say of itself, by the names of the protocol: id, model_name, model_version.
    """

    path: str
    headers: bytes
    body: bytes
    expected: Mapping[str, Array] | None = None
    batch: int = 1
    rtol: float = 1e-3
    atol: float = 1e-5
    own: Mapping[str, str] = field(default_factory=dict)
    protocol: Protocol = "http"


def prepare_http(
    model: str,
    version: str,
    inputs: Inputs,
    *,
    expected: Mapping[str, Array] | None = None,
    outputs: Iterable[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    binary: bool = True,
    batch: int = 1,
    rtol: float = 1e-3,
    atol: float = 1e-5,
    request_id: str = "",
    answered_by: str = "",
) -> PreparedRequest:
    """An infer request with binary tensors (or JSON ones). ``batch``: inferences in it.

    The answer has to name the model, and ``request_id`` and the version ``answered_by``
    (default: ``version``) where they are given.
    """
    headers, body = encode_infer(
        inputs, outputs=outputs, parameters=parameters, binary=binary, request_id=request_id
    )
    own = {"id": request_id, "model_name": model, "model_version": answered_by or version}
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}\r\n")
    return PreparedRequest(
        f"{model_path(model, version)}/infer",
        "".join(lines).encode("latin-1"),
        body,
        expected,
        batch,
        rtol,
        atol,
        {name: value for name, value in own.items() if value},
    )


def prepare_grpc(
    model: str,
    version: str,
    inputs: Inputs,
    *,
    expected: Mapping[str, Array] | None = None,
    outputs: Iterable[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    batch: int = 1,
    rtol: float = 1e-3,
    atol: float = 1e-5,
    request_id: str = "",
    answered_by: str = "",
) -> PreparedRequest:
    """As :func:`prepare_http`, over gRPC with raw contents."""
    from pytest_triton.probe.protobuf import infer_request

    message = infer_request(
        model, inputs, version=version, outputs=outputs, parameters=parameters,
        request_id=request_id,
    )  # fmt: skip
    own = {"id": request_id, "model_name": model, "model_version": answered_by or version}
    return PreparedRequest(
        "", b"", message.SerializeToString(), expected, batch, rtol, atol,
        {name: value for name, value in own.items() if value}, "grpc",
    )  # fmt: skip


def read_grpc(body: bytes) -> InferResult:
    """A serialised ModelInferResponse, every length checked. Raises MalformedAnswer."""
    from google.protobuf.message import DecodeError
    from tritonclient.grpc import service_pb2 as pb

    from pytest_triton.probe.protobuf import infer_result

    try:
        return infer_result(pb.ModelInferResponse.FromString(body))
    except DecodeError as error:
        raise MalformedAnswer(f"the answer is no ModelInferResponse: {error}") from None


def check_answer(request: PreparedRequest, json_length: int, body: bytes) -> str | None:
    """What is wrong with an answer's content; None when it is right.

    Every length is checked also when nothing is expected. ``json_length`` 0: all JSON.
    """
    headers = {"inference-header-content-length": str(json_length)} if json_length else {}
    try:
        if request.protocol == "grpc":
            result = read_grpc(body)
        else:
            result = decode_infer(HttpAnswer(200, headers, body, 0.0))
    except MalformedAnswer as error:
        return str(error)
    for name, said in request.own.items():
        if getattr(result, name) != said:
            return f"the answer has the {name} {getattr(result, name)!r}, expected {said!r}"
    for name, wanted in (request.expected or {}).items():
        if name not in result.outputs:
            return f"output {name!r} is missing"
        datatype = result.datatypes.get(name, "")
        rtol, atol = request.rtol, request.atol
        if datatype in ("FP16", "BF16"):
            rtol, atol = allowed(datatype, rtol, atol)
        got = widened(result.outputs[name], datatype)
        fault = compare(got, widened(wanted, datatype), rtol=rtol, atol=atol)
        if fault:
            return f"output {name!r} {fault}"
    return None


def compare(got: Array, wanted: Array, *, rtol: float, atol: float) -> str | None:
    """How an output differs from what is expected; None when it is near enough.

    Floats by ``atol + rtol * |wanted|``, everything else exactly.
    """
    wanted = np.asarray(wanted)
    if got.shape != wanted.shape:
        return f"has shape {list(got.shape)}, expected {list(wanted.shape)}"
    if got.dtype.kind == "O" or wanted.dtype.kind in "OSU":
        pairs = zip(got.reshape(-1).tolist(), wanted.reshape(-1).tolist(), strict=True)
        same = all(
            one == (two.encode("utf-8") if isinstance(two, str) else two) for one, two in pairs
        )
        return None if same else "has other strings than expected"
    if wanted.dtype.kind != "f":
        return None if np.array_equal(got, wanted) else "has other values than expected"
    if np.allclose(got, wanted, rtol=rtol, atol=atol, equal_nan=True):
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        worst = np.nanmax(np.abs(got.astype(np.float64) - wanted.astype(np.float64)))
    return f"is off by up to {worst:.3g} (rtol {rtol:g}, atol {atol:g})"
