"""Inference requests and responses of the HTTP protocol, JSON and binary."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_triton.probe.codec import (
    as_tensor,
    decode_raw,
    encode_raw,
    from_json_data,
    to_json_data,
)
from pytest_triton.probe.types import HttpAnswer, InferResult, Inputs, MalformedAnswer, parse_json

LENGTH_HEADER = "Inference-Header-Content-Length"


def encode_infer(
    inputs: Inputs,
    *,
    outputs: Iterable[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    binary: bool = True,
    request_id: str = "",
    classification: int = 0,
) -> tuple[dict[str, str], bytes]:
    """Headers and body of an infer request.

    ``binary`` holds for inputs and outputs. ``classification`` asks for the top classes of
    every listed output.
    """
    document: dict[str, Any] = {}
    if request_id:
        document["id"] = request_id
    settings = dict(parameters or {})
    blobs: list[bytes] = []
    entries: list[dict[str, Any]] = []
    for name, value in inputs.items():
        tensor = as_tensor(value)
        entry: dict[str, Any] = {
            "name": name,
            "shape": list(tensor.array.shape),
            "datatype": tensor.datatype,
        }
        if binary:
            blob = encode_raw(tensor)
            blobs.append(blob)
            entry["parameters"] = {"binary_data_size": len(blob)}
        else:
            entry["data"] = to_json_data(tensor)
        entries.append(entry)
    document["inputs"] = entries
    if outputs is not None:
        document["outputs"] = [
            {
                "name": name,
                "parameters": {
                    "binary_data": binary,
                    **({"classification": classification} if classification else {}),
                },
            }
            for name in outputs
        ]
    elif binary:
        settings.setdefault("binary_data_output", True)
    if settings:
        document["parameters"] = settings
    header = json.dumps(document, separators=(",", ":")).encode("utf-8")
    if not binary:
        return {"Content-Type": "application/json"}, header
    headers = {"Content-Type": "application/octet-stream", LENGTH_HEADER: str(len(header))}
    return headers, b"".join([header, *blobs])


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str):
        raise MalformedAnswer(f"{key!r} is {value!r:.60}, not a string")
    return value


def decode_infer(answer: HttpAnswer) -> InferResult:
    """The response in an answer with status 200. Every length is checked; raises
    MalformedAnswer."""
    body = answer.body
    raw_length = answer.headers.get(LENGTH_HEADER.lower())
    if raw_length is None:
        document, tail = parse_json(body), memoryview(b"")
    else:
        # 18 digits: what is longer is no size, and int() has a limit of its own
        digits = raw_length.isascii() and raw_length.isdigit() and len(raw_length) <= 18
        if not digits or int(raw_length) > len(body):
            raise MalformedAnswer(f"{LENGTH_HEADER} is {raw_length!r}, the body {len(body)} bytes")
        size = int(raw_length)
        document, tail = parse_json(body[:size]), memoryview(body)[size:]
    if not isinstance(document, dict) or not isinstance(document.get("outputs"), list):
        raise MalformedAnswer(f"an inference response has an array 'outputs': {body[:80]!r}")
    parameters = document.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise MalformedAnswer(f"'parameters' is {parameters!r:.60}, not an object")
    result = InferResult(
        _text(document, "model_name"),
        _text(document, "model_version"),
        _text(document, "id"),
        {},
        parameters,
    )
    for output in document["outputs"]:
        tail = _decode_output(output, tail, result)
    if len(tail):
        raise MalformedAnswer(f"{len(tail)} bytes follow the last output")
    return result


def _decode_output(output: Any, tail: memoryview, result: InferResult) -> memoryview:
    if not isinstance(output, dict):
        raise MalformedAnswer(f"an output is {output!r:.60}, not an object")
    name, datatype, shape = _text(output, "name"), _text(output, "datatype"), output.get("shape")
    if not name or not isinstance(shape, list):
        raise MalformedAnswer(f"an output needs a name and a shape: {output!r:.80}")
    if name in result.outputs:
        raise MalformedAnswer(f"output {name!r} comes twice")
    parameters = output.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise MalformedAnswer(f"parameters of output {name!r} are {parameters!r:.60}")
    size = parameters.get("binary_data_size")
    result.datatypes[name] = datatype
    result.output_parameters[name] = parameters
    if size is not None:
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= len(tail):
            raise MalformedAnswer(
                f"output {name!r} says {size!r} binary bytes, {len(tail)} are left in the body"
            )
        result.outputs[name] = decode_raw(tail[:size], datatype, shape, name)
        result.raw_sizes[name] = size
        return tail[size:]
    if "data" in output:
        result.outputs[name] = from_json_data(output["data"], datatype, shape, name)
    elif "shared_memory_region" not in parameters:
        raise MalformedAnswer(f"output {name!r} carries no data")
    return tail
