"""Requests written out as JSON, right ones and wrong ones, and their answers as arrays."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import cycle, islice
from typing import Any, TypeVar

import numpy as np

from pytest_triton.probe.cases import InputCase
from pytest_triton.probe.codec import as_tensor
from pytest_triton.probe.http import model_path
from pytest_triton.probe.types import MalformedAnswer, RequestFailed
from pytest_triton.subject import Subject

T = TypeVar("T")
_DTYPES = {
    "BOOL": np.bool_, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip


def json_request(case: InputCase, *, nested: bool = False, request_id: str = "") -> dict[str, Any]:
    """The body of POST infer with JSON tensors; ``data`` flat, or nested as the shape is."""
    inputs = []
    for name, value in case.inputs.items():
        tensor = as_tensor(value)
        array = tensor.array if nested else tensor.array.reshape(-1)
        if tensor.datatype == "BYTES":
            data = np.vectorize(_text, otypes=[object])(array).tolist() if array.size else []
        else:
            data = array.tolist()
        inputs.append(
            {
                "name": name,
                "shape": list(tensor.array.shape),
                "datatype": tensor.datatype,
                "data": data,
            }
        )
    return {"id": request_id, "inputs": inputs} if request_id else {"inputs": inputs}


def _text(value: object) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def post_json(
    subject: Subject, model: str, request: dict[str, Any], case: InputCase
) -> dict[str, Any]:
    """POST infer and its answer as JSON; what generated inputs provoke is NotAssessed."""
    answer = subject.post(f"{model_path(model)}/infer", request)
    if answer.status != 200:
        subject.excuse(model, case, str(answer.error))
        raise RequestFailed("http", answer.status, answer.error or answer.text[:400])
    document = answer.json()
    if not isinstance(document, dict):
        raise MalformedAnswer(f"the answer is no JSON object: {answer.text[:80]!r}")
    if "error" in document:
        raise RequestFailed("http", 200, str(document["error"]))
    return document


def json_arrays(answer: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The outputs of a JSON answer as arrays. Raises MalformedAnswer."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for tensor in answer.get("outputs", []):
        try:
            name, shape, data = tensor["name"], tensor["shape"], tensor["data"]
            if tensor["datatype"] == "BYTES":
                array = np.empty(len(data), object)
                array[:] = [str(text).encode() for text in data]
            else:
                array = np.asarray(data, _DTYPES[tensor["datatype"]])
            arrays[name] = array.reshape(shape)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise MalformedAnswer(
                f"an output cannot be read ({error!r}): {tensor!r:.200}"
            ) from None
    return arrays


def bad_requests(case: InputCase, *, empty: bool = True) -> Iterator[bytes]:
    """Bodies that every server has to refuse: cut, of wrong types, too short, and ``empty``.

    Triton 23.10 takes an empty body for a raw request and answers it.
    """
    good = json_request(case)
    whole = json.dumps(good).encode()
    yield whole[: len(whole) // 2]
    if empty:
        yield b""
    yield b"[]"
    yield b'{"inputs": {}}'
    yield b'{"inputs": []}'
    yield b"\xff\xfe\x00"
    first = dict(good["inputs"][0])
    wrongs: tuple[dict[str, Any], ...] = (
        {"shape": "x"},
        {"shape": [-1, -1]},
        {"datatype": "NOPE"},
        {"data": []},
        {"name": "no_such_input"},
    )
    for wrong in wrongs:
        yield json.dumps({"inputs": [{**first, **wrong}, *good["inputs"][1:]]}).encode()


def round_robin(items: Iterable[T], count: int) -> Iterator[T]:
    """``count`` items, from the start again when they are used up."""
    return islice(cycle(list(items)), count)
