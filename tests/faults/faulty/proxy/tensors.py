"""Output tensors of an answer: taken out of it, changed, and put back, in each encoding."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

HEADER = "inference-header-content-length"
_TYPES = {
    "BOOL": "?", "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "u1",
    "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "FP16": "<f2", "FP32": "<f4",
    "FP64": "<f8", "BF16": "<u2",
}  # fmt: skip


@dataclass
class Output:
    """One output: its entry in the answer, and its values in the shape that it declares."""

    entry: dict[str, Any]
    values: np.ndarray
    binary: bool


def unpack(datatype: str, shape: list[int], data: bytes) -> np.ndarray:
    """Values of a raw tensor."""
    if datatype != "BYTES":
        return np.frombuffer(data, _TYPES[datatype]).reshape(shape).copy()
    items, position = [], 0
    while position < len(data):
        (size,) = struct.unpack_from("<I", data, position)
        items.append(data[position + 4 : position + 4 + size])
        position += 4 + size
    made = np.empty(len(items), object)
    made[:] = items
    return made.reshape(shape)


def pack(values: np.ndarray) -> bytes:
    """The inverse of :func:`unpack`."""
    if values.dtype != object:
        return np.ascontiguousarray(values).tobytes()
    return b"".join(struct.pack("<I", len(item)) + item for item in values.reshape(-1))


def from_json(entry: dict[str, Any]) -> np.ndarray:
    """Values of a tensor with JSON data."""
    shape, datatype = entry["shape"], entry["datatype"]
    if datatype == "BYTES":
        flat = np.array(entry["data"], object).reshape(-1)
        made = np.empty(len(flat), object)
        made[:] = [str(item).encode() for item in flat]
        return made.reshape(shape)
    return np.array(entry["data"], _TYPES[datatype]).reshape(shape)


def to_json(values: np.ndarray) -> list[Any]:
    """Flat JSON data."""
    if values.dtype == object:
        return [item.decode("utf-8", "replace") for item in values.reshape(-1)]
    return list(values.reshape(-1).tolist())


def change_http(
    body: bytes, headers: dict[str, str], operation: dict[str, Any]
) -> tuple[bytes, bool]:
    """Change the outputs of an infer answer over HTTP; ``headers`` are brought up to date."""
    length = headers.get(HEADER)
    cut = int(length) if length else len(body)
    document = json.loads(body[:cut])
    position, outputs = cut, []
    for entry in document.get("outputs", ()):
        size = entry.get("parameters", {}).get("binary_data_size")
        if size is None:
            if "data" in entry:
                outputs.append(Output(entry, from_json(entry), False))
            continue
        raw = body[position : position + size]
        position += size
        outputs.append(Output(entry, unpack(entry["datatype"], entry["shape"], raw), True))
    changed = apply(outputs, operation)
    tail = b""
    for output in outputs:
        if output.binary:
            raw = pack(output.values)
            if (short := operation.get("short")) and _chosen(output, operation):
                raw = raw[:-short]
            output.entry["parameters"]["binary_data_size"] = len(raw)
            tail += raw
        else:
            output.entry["data"] = to_json(output.values)
            if (short := operation.get("short")) and _chosen(output, operation):
                output.entry["data"] = output.entry["data"][:-short]
    text = json.dumps(document, separators=(",", ":")).encode()
    if length:
        headers[HEADER] = str(len(text))
    return text + tail, changed


def change_grpc(message: Any, operation: dict[str, Any]) -> bool:
    """Change the outputs of a ModelInferResponse in place."""
    outputs = []
    for tensor, raw in zip(message.outputs, message.raw_output_contents, strict=False):
        entry = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        outputs.append(Output(entry, unpack(tensor.datatype, entry["shape"], raw), True))
    changed = apply(outputs, operation)
    for index, output in enumerate(outputs):
        raw = pack(output.values)
        if (short := operation.get("short")) and _chosen(output, operation):
            raw = raw[:-short]
        message.raw_output_contents[index] = raw
        tensor = message.outputs[index]
        tensor.datatype = output.entry["datatype"]
        del tensor.shape[:]
        tensor.shape.extend(output.entry["shape"])
    return changed


def _chosen(output: Output, operation: dict[str, Any]) -> bool:
    return re.search(operation.get("names", ""), output.entry["name"]) is not None


def apply(outputs: list[Output], operation: dict[str, Any]) -> bool:
    """Do the operation to every output that it names; whether anything changed."""
    changed = False
    for output in outputs:
        if not _chosen(output, operation):
            continue
        before = output.values
        output.values = _values(before, operation)
        if output.values.shape != before.shape:
            output.entry["shape"] = list(output.values.shape)
        changed |= not _same(before, output.values) or bool(operation.get("short"))
        for key in ("datatype", "shape", "name"):
            if key in operation:
                output.entry[key] = operation[key]
                changed = True
        if "reshape" in operation:  # e.g. [1, -1]: same values, another shape
            output.values = output.values.reshape(operation["reshape"])
            output.entry["shape"] = list(output.values.shape)
            changed = True
    return changed


def _each(values: np.ndarray, change: Callable[[bytes], bytes]) -> np.ndarray:
    made = np.empty_like(values)
    made.reshape(-1)[:] = [change(item) for item in values.reshape(-1)]
    return made


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and pack(one) == pack(other)


def _values(values: np.ndarray, operation: dict[str, Any]) -> np.ndarray:
    kind = operation.get("op", "keep")
    text = values.dtype == object
    if kind == "keep":
        return values
    if kind == "reverse":  # the rows
        return values[::-1].copy() if values.ndim else values
    if kind == "roll":  # each row gets its neighbour's values
        return np.roll(values, 1, axis=0)
    if kind == "first":  # every row is the first
        return np.repeat(values[:1], len(values), axis=0)
    if kind == "flip":  # the values of each row
        return np.flip(values, axis=-1).copy()
    if kind == "fewer":  # the last column is lost
        return values[..., :-1].copy()
    if kind == "rowless":  # the last row is lost
        return values[:-1].copy()
    if kind == "unlabel":  # "0.9:3:cat" -> "0.9:3"
        return _each(values, lambda item: b":".join(item.split(b":")[:2]))
    if kind == "relabel":  # every class is called the same
        return _each(values, lambda item: b":".join([*item.split(b":")[:2], b"thing"]))
    if text:
        return values
    if kind == "double":  # FP32 as FP64
        return values.astype("<f8")
    if kind == "scale":
        return (values * operation["by"]).astype(values.dtype)
    if kind == "halved":  # computed with half the digits that the type has
        return values.astype("<f2").astype(values.dtype)
    if kind == "add":
        return (values + operation["by"]).astype(values.dtype)
    if kind == "fill":
        return np.full_like(values, operation["by"])
    if kind == "last":  # one value: the last of all
        made = values.copy()
        made.reshape(-1)[-1] = operation["by"]
        return made
    raise ValueError(f"there is no operation {kind!r} on tensors")
