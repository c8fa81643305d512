"""Requests written out as JSON, right ones and wrong ones, and their answers as arrays."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import cycle, islice
from typing import Any, TypeVar

import numpy as np

from pytest_triton.probe.cases import InputCase
from pytest_triton.probe.codec import as_tensor, from_json_data
from pytest_triton.probe.http import model_path
from pytest_triton.probe.types import MalformedAnswer, RequestFailed, Tensor
from pytest_triton.served_model import ServedModel
from pytest_triton.subject import Subject

T = TypeVar("T")
_PARTS = {"name": str, "datatype": str, "shape": list, "data": list}


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
        raise answer.failure
    document = answer.json()
    if not isinstance(document, dict):
        raise MalformedAnswer(f"the answer is no JSON object: {answer.text[:80]!r}")
    if "error" in document:
        raise RequestFailed("http", 200, str(document["error"]))
    return document


def json_arrays(answer: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The outputs of a JSON answer as arrays. Raises MalformedAnswer."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for tensor in json_outputs(answer):
        name = tensor["name"]
        if name in arrays:
            raise MalformedAnswer(f"output {name!r} comes twice")
        arrays[name] = from_json_data(tensor["data"], tensor["datatype"], tensor["shape"], name)
    return arrays


def json_outputs(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The outputs of a JSON answer, each with its four parts. Raises MalformedAnswer."""
    outputs = answer.get("outputs")
    if not isinstance(outputs, list):
        raise MalformedAnswer(f"'outputs' is {outputs!r:.80}, not an array")
    for tensor in outputs:
        if not isinstance(tensor, dict):
            raise MalformedAnswer(f"an output is {tensor!r:.80}, not an object")
        for key, kind in _PARTS.items():
            if not isinstance(tensor.get(key), kind):
                raise MalformedAnswer(f"an output has no readable {key!r}: {tensor!r:.200}")
    return outputs


def bad_requests(case: InputCase, *, empty: bool = True, optional: bool = False) -> Iterator[bytes]:
    """Bodies that every server has to refuse: cut, of wrong types, too short, and ``empty``.

    Triton 23.10 takes an empty body for a raw request and answers it. ``optional``: every
    input of the model is optional, so that a request without one is right.
    """
    good = json_request(case)
    whole = json.dumps(good).encode()
    yield whole[: len(whole) // 2]
    if empty:
        yield b""
    yield b"[]"
    yield b'{"inputs": {}}'
    if not optional:
        yield b'{"inputs": []}'
    yield b"\xff\xfe\x00"
    if not good["inputs"]:
        return
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


def in_order(steps: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The steps of an ensemble, each after those that make its inputs; Triton takes any order."""
    left = list(steps)
    while left:
        awaited = {tensor for step in left for tensor in step["output_map"].values()}
        step = next(
            (step for step in left if awaited.isdisjoint(step["input_map"].values())), left[0]
        )
        left.remove(step)
        yield step


def round_robin(items: Iterable[T], count: int) -> Iterator[T]:
    """``count`` items, from the start again when they are used up."""
    return islice(cycle(list(items)), count)


def parse_class(text: Any, classes: int) -> tuple[float, int, str]:
    """(value, index, label) of one class, ``value:index[:label]``. Raises MalformedAnswer."""
    told = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    value, _, rest = told.partition(":")
    index, _, label = rest.partition(":")
    try:
        number = float(value)
    except ValueError:
        raise MalformedAnswer(f"a class is {told!r:.80}, not value:index:label") from None
    if not (index.isascii() and index.isdigit() and len(index) < 10 and int(index) < classes):
        raise MalformedAnswer(f"a class is {told!r:.80}: no index below {classes}")
    return number, int(index), label


def one_by_one(subject: Subject, model: ServedModel, case: InputCase) -> dict[str, Any]:
    """Every tensor of an ensemble, its steps asked one by one. Raises MalformedAnswer."""
    tensors: dict[str, Any] = dict(case.inputs)
    for step in in_order(model.config.get("ensemble_scheduling", {}).get("step", [])):
        sent = {
            key: tensors[tensor]
            for key, tensor in step["input_map"].items()
            if tensor in tensors  # an optional input was not sent
        }
        version = "" if step["model_version"] == -1 else str(step["model_version"])
        part = subject.http.infer(step["model_name"], sent, version=version)
        for key, tensor in step["output_map"].items():
            if key not in part.outputs:
                raise MalformedAnswer(f"step {step['model_name']} answers without {key!r}")
            # BF16 has no type of numpy's: the server's word has to go with it.
            tensors[tensor] = Tensor(part[key], part.datatypes[key])
    return tensors
