"""Triton's front end in miniature: routes, verbs, compression, and requests that are wrong."""

from __future__ import annotations

import math
import re
import zlib
from typing import Any

from pytest_triton.probe.codec import DATATYPES, numpy_dtype
from pytest_triton.probe.message import LENGTH_HEADER

_VERBS = {
    r"/v2|/v2/health/(live|ready)|/metrics|/v2/models/stats": "GET",
    r"/v2/models/[^/]+(/versions/\d+)?(/(ready|config|stats))?": "GET",
    r"/v2/models/[^/]+(/versions/\d+)?/(infer|generate|generate_stream)": "POST",
    r"/v2/repository/index": "POST",
}
_BITS = {"gzip": 31, "deflate": 15}


class Refused(Exception):
    """An error answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def route(method: str, path: str) -> None:
    """Refuse what is no route, and a verb that it does not have."""
    for pattern, verb in _VERBS.items():
        if re.fullmatch(pattern, path):
            if verb != method:
                raise Refused(405, "Method Not Allowed")
            return
    raise Refused(404, "Not Found")


def unpack(headers: Any, body: bytes) -> bytes:
    """The body without its compression."""
    encoding = headers.get("Content-Encoding", "identity")
    if encoding == "identity":
        return body
    if encoding not in _BITS:
        raise Refused(501, "Unsupported compression type")
    try:
        return zlib.decompress(body, _BITS[encoding])
    except zlib.error:
        raise Refused(400, "input byte size mismatch for input 'raw_input'") from None


def pack(headers: Any, answered: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    """Headers and body of an answer, compressed as the client accepts it."""
    encoding = headers.get("Accept-Encoding", "")
    if encoding not in _BITS:
        return answered, body
    packer = zlib.compressobj(wbits=_BITS[encoding])
    return {**answered, "Content-Encoding": encoding}, packer.compress(body) + packer.flush()


def header_length(headers: Any, body: bytes) -> int:
    """Bytes of the JSON; 0 for a raw request."""
    text = headers.get(LENGTH_HEADER, str(len(body)))
    length = int(text) if re.fullmatch(r"-?\d+", text) else 0
    if not 0 <= length <= len(body):
        raise Refused(
            400, f"inference header size should be in range (0, {len(body)}), got: {text}"
        )
    return length


def raw_request(name: str, declared: dict[str, Any], body: bytes) -> dict[str, Any]:
    """The request that a body without JSON stands for."""
    shape = [1 if dim < 0 else dim for dim in declared["shape"]]
    given = {**declared, "shape": shape, "parameters": {"binary_data_size": len(body)}}
    _size("raw_input", name, given, len(body))
    return {"inputs": [given], "parameters": {"binary_data_output": True}}


def check(name: str, request: Any, tail: bytes) -> list[dict[str, Any]]:
    """The inputs of a request, each whole."""
    inputs = request.get("inputs") if isinstance(request, dict) else None
    if not isinstance(inputs, list):
        raise Refused(500, "Unable to parse 'inputs': attempt to access JSON non-array as array")
    _parameters(request.get("parameters", {}))
    seen: set[str] = set()
    for given in inputs:
        for key in ("name", "shape", "datatype"):
            if key not in given:
                raise Refused(500, f"Unable to parse '{key}': attempt to access non-existing")
        shape = given["shape"]
        if not isinstance(shape, list) or not all(type(d) is int and d >= 0 for d in shape):
            raise Refused(500, "Unable to parse 'shape': non-unsigned-integer")
        if given["datatype"] not in DATATYPES:
            raise Refused(400, f"invalid datatype for input {given['name']}")
        if given["name"] in seen:
            raise Refused(400, f"input '{given['name']}' already exists in request")
        seen.add(given["name"])
        size = given.get("parameters", {}).get("binary_data_size")
        if "data" not in given and size is None:
            raise Refused(400, "Input must set only one of the following fields: 'data', …")
        if "data" in given:
            _elements(given)
            continue
        if size > len(tail):
            text = f"unexpected size for input '{given['name']}', expecting {size - len(tail)}"
            raise Refused(400, f"{text} additional bytes for model '{name}'")
        _size(given["name"], name, given, size)
        tail = tail[size:]
    if tail:
        raise Refused(400, f"unexpected additional input data for model '{name}'")
    return inputs


def _parameters(parameters: dict[str, Any]) -> None:
    for key in ("timeout", "priority"):
        value = parameters.get(key, 0)
        if type(value) is not int or value < 0:
            raise Refused(500, f"Unable to parse '{key}': non-unsigned-integer")


def _elements(given: dict[str, Any]) -> None:
    def flat(data: Any) -> list[Any]:
        if not isinstance(data, list):
            return [data]
        return [one for part in data for one in flat(part)]

    kinds = (str,) if given["datatype"] == "BYTES" else (int, float)
    values = flat(given["data"]) if isinstance(given["data"], list) else [None]
    if not all(isinstance(value, kinds) for value in values):
        raise Refused(500, "Unable to parse 'data': attempt to access JSON non-number as double")
    if len(values) != math.prod(given["shape"]):
        raise Refused(
            500, "Unable to parse 'data': Shape does not match true shape of 'data' field"
        )


def _size(told: str, name: str, given: dict[str, Any], size: int) -> None:
    if given["datatype"] != "FP32":
        return
    wanted = numpy_dtype("FP32").itemsize * math.prod(given["shape"])
    if size != wanted:
        text = f"input byte size mismatch for input '{told}' for model '{name}'"
        raise Refused(400, f"{text}. Expected {wanted}, got {size}")
