"""Errors that a model answers on purpose, as a client sees them over both protocols."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_triton.exactly import altered, not_own
from pytest_triton.probe.http import model_path
from pytest_triton.probe.message import encode_infer
from pytest_triton.probe.types import InferResult, Inputs, RequestFailed
from pytest_triton.probe_set import FAILING, VERSION
from pytest_triton.subject import Subject

#: CODE of the probe model that raises an exception instead of answering an error.
RAISES = -1


@dataclass(frozen=True, slots=True)
class ModelError:
    """A code of TritonError: its number in the probe model, and what clients have to get."""

    name: str
    code: int
    http: int
    grpc: str

    @property
    def text(self) -> str:
        """What the model says."""
        return f"this model answers {self.name} on purpose"


MODEL_ERRORS = {
    error.name: error
    for error in (
        ModelError("UNKNOWN", 1, 400, "UNKNOWN"),
        ModelError("INTERNAL", 2, 500, "INTERNAL"),
        ModelError("NOT_FOUND", 3, 404, "NOT_FOUND"),
        ModelError("INVALID_ARG", 4, 400, "INVALID_ARGUMENT"),
        ModelError("UNAVAILABLE", 5, 503, "UNAVAILABLE"),
        ModelError("UNSUPPORTED", 6, 501, "UNIMPLEMENTED"),
        ModelError("ALREADY_EXISTS", 7, 400, "ALREADY_EXISTS"),
        ModelError("CANCELLED", 8, 400, "CANCELLED"),
    )
}


def code(number: int) -> Inputs:
    """The input of the failing probe models."""
    return {"CODE": np.array([number], np.int32)}


def http_refusal(
    subject: Subject, model: str, inputs: Inputs, status: int | tuple[int, ...]
) -> str:
    """The error's text of inference over HTTP that has to be refused with a status.

    AssertionError if it is answered, with another status, or without a readable reason.
    """
    headers, body = encode_infer(inputs, binary=False)
    answer = subject.http.request("POST", f"{model_path(model)}/infer", body=body, headers=headers)
    allowed = status if isinstance(status, tuple) else (status,)
    if answer.status not in allowed:
        raise AssertionError(
            f"over HTTP: answers {answer.status} ({answer.text[:200]!r}), "
            f"expected {' or '.join(map(str, allowed))}{answer.speaker}"
        )
    if not answer.error:
        raise AssertionError(
            f"over HTTP: the body is no JSON with 'error': {answer.text[:200]!r}{answer.speaker}"
        )
    return answer.error


def grpc_refusal(subject: Subject, model: str, inputs: Inputs, status: str, **keywords: Any) -> str:
    """The error's text of inference over gRPC that has to be refused with a status.

    AssertionError if it is answered, with another status, or without a reason.
    """
    grpc = subject.grpc
    assert grpc is not None
    try:
        answer = grpc.infer(model, inputs, **keywords)
    except RequestFailed as failed:
        error = failed
    else:
        raise AssertionError(
            f"over gRPC: answered with outputs {sorted(answer.outputs)}, expected {status}"
        )
    if error.status != status:
        raise AssertionError(
            f"over gRPC: status {error.status} ({error.message[:200]!r}), expected {status}"
        )
    if not error.message:
        raise AssertionError("over gRPC: the error has no text")
    return error.message


def require_error(subject: Subject, name: str) -> None:
    """AssertionError unless a model's error of this code arrives as it has to, with its text."""
    error = MODEL_ERRORS[name]
    status = subject.error_status(error.http)
    told = {
        "HTTP": http_refusal(subject, FAILING, code(error.code), status),
        "gRPC": grpc_refusal(subject, FAILING, code(error.code), error.grpc),
    }
    for protocol, reason in told.items():
        if error.text not in reason:
            raise AssertionError(f"over {protocol}: the model says {error.text!r}, not {reason!r}")


def not_zero(answer: InferResult, output: str) -> str:
    """What is wrong with an answer to CODE 0, for which the probe models give a zero; ""."""
    text = altered(answer, {output: np.zeros(1, np.int32)})
    return f"a good request: {text}" if text else ""


def together(subject: Subject, codes: list[int]) -> list[str]:
    """What is wrong with requests that are sent at the same time, good ones and failing ones.

    CODE 0 has to get its zero under its own id, any other code an error that is its own.
    """
    by_code = {error.code: error.text for error in MODEL_ERRORS.values()}

    def one(at: int, number: int) -> str:
        name = f"err-14 {at}"
        try:
            answer = subject.http.infer(FAILING, code(number), request_id=name)
        except RequestFailed as error:
            if number == 0:
                return f"a good request among failing ones: {error}"
            told = by_code.get(number, "RuntimeError")
            return "" if told in error.message else f"CODE {number} gets the error {error}"
        if number:
            return f"CODE {number} is answered, not refused"
        return not_own(answer, name, FAILING, VERSION) or not_zero(answer, "VALUE")

    with ThreadPoolExecutor(len(codes)) as pool:
        return [text for text in pool.map(one, range(len(codes)), codes) if text]
