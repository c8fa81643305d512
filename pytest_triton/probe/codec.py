"""numpy arrays <-> Triton's data types: raw bytes, JSON values, typed gRPC contents."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pytest_triton.probe.types import Array, MalformedAnswer, Tensor, TensorInput

_DTYPES: dict[str, str] = {
    "BOOL": "bool",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "BF16": "<u2",  # numpy has no bfloat16: the raw bits
    "FP32": "<f4",
    "FP64": "<f8",
}
_TRITON = {np.dtype(code): name for name, code in _DTYPES.items() if name != "BF16"}

MAX_DIMS = 32
"""Dimensions that every numpy can hold."""

DATATYPES: tuple[str, ...] = (*_DTYPES, "BYTES")
"""Every data type that Triton knows."""


def numpy_dtype(datatype: str) -> np.dtype[Any]:
    """The numpy type for a Triton type; object for BYTES. Raises MalformedAnswer if unknown."""
    if datatype == "BYTES":
        return np.dtype(object)
    try:
        return np.dtype(_DTYPES[datatype])
    except (KeyError, TypeError):
        raise MalformedAnswer(f"unknown data type {datatype!r}") from None


def triton_datatype(array: Array) -> str:
    """The Triton type for an array. Raises TypeError, with a remedy, where there is none."""
    if array.dtype.kind in "OSU":
        return "BYTES"
    if array.dtype.name == "bfloat16":
        return "BF16"
    name = _TRITON.get(array.dtype.newbyteorder("="))
    if name is None:
        raise TypeError(f"Triton has no data type for numpy's {array.dtype}: cast the array first")
    return name


def as_tensor(value: TensorInput) -> Tensor:
    """An array, a Tensor, or anything numpy makes an array of, as a Tensor."""
    if isinstance(value, Tensor):
        return value
    array = np.asarray(value)
    return Tensor(array, triton_datatype(array))


def _element(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8")
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"an element of a BYTES tensor is bytes or str, not {type(value).__name__}")


def encode_raw(tensor: Tensor) -> bytes:
    """The wire form: little-endian, row-major; BYTES with 4-byte length prefixes."""
    if tensor.datatype == "BYTES":
        parts: list[bytes] = []
        for value in tensor.array.reshape(-1).tolist():
            data = _element(value)
            parts.append(struct.pack("<I", len(data)))
            parts.append(data)
        return b"".join(parts)
    array = tensor.array
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return np.ascontiguousarray(array).tobytes()


def element_count(shape: Sequence[int]) -> int:
    """Number of elements. Raises MalformedAnswer for a shape that no tensor can have."""
    if len(shape) > MAX_DIMS:
        raise MalformedAnswer(f"a shape of {len(shape)} dimensions")
    for dim in shape:
        if isinstance(dim, bool) or not isinstance(dim, int) or dim < 0:
            raise MalformedAnswer(f"shape {list(shape)!r} is not a list of whole numbers >= 0")
    if math.prod(dim for dim in shape if dim) >= 1 << 62:
        raise MalformedAnswer(f"shape {list(shape)!s:.200} is beyond 64 bits")
    return math.prod(shape)


def decode_bytes_elements(raw: bytes | memoryview) -> list[bytes]:
    """Elements of a BYTES tensor. Raises MalformedAnswer when a prefix overruns the end."""
    view = memoryview(raw)
    values: list[bytes] = []
    offset = 0
    while offset < len(view):
        if offset + 4 > len(view):
            raise MalformedAnswer(f"BYTES data ends inside a length prefix at byte {offset}")
        (size,) = struct.unpack_from("<I", view, offset)
        offset += 4
        if offset + size > len(view):
            raise MalformedAnswer(
                f"BYTES element of {size} bytes at byte {offset} overruns the {len(view)} bytes"
            )
        values.append(bytes(view[offset : offset + size]))
        offset += size
    return values


def bytes_array(values: Sequence[bytes], shape: Sequence[int]) -> Array:
    """An object array of the given shape that holds ``values``."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    shaped: Array = array.reshape(tuple(shape))
    return shaped


def decode_raw(raw: bytes | memoryview, datatype: str, shape: Sequence[int], name: str) -> Array:
    """An array that owns its memory. Raises MalformedAnswer when size and shape disagree."""
    dtype = numpy_dtype(datatype)
    count = element_count(shape)
    if datatype == "BYTES":
        values = decode_bytes_elements(raw)
        if len(values) != count:
            raise MalformedAnswer(
                f"output {name!r} holds {len(values)} strings, its shape {list(shape)} says {count}"
            )
        return bytes_array(values, shape)
    if len(raw) != count * dtype.itemsize:
        raise MalformedAnswer(
            f"output {name!r} holds {len(raw)} bytes, "
            f"{datatype} of shape {list(shape)} takes {count * dtype.itemsize}"
        )
    array: Array = np.frombuffer(raw, dtype=dtype).reshape(tuple(shape)).copy()
    return array


def to_json_data(tensor: Tensor) -> list[Any]:
    """Flat JSON values. BYTES become UTF-8 text; what is not UTF-8 raises TypeError."""
    flat = tensor.array.reshape(-1)
    if tensor.datatype == "BYTES":
        try:
            return [_element(value).decode("utf-8") for value in flat.tolist()]
        except UnicodeDecodeError:
            raise TypeError("JSON cannot carry bytes that are not UTF-8: use binary=True") from None
    if tensor.datatype == "FP32":  # exact: every float32 is a double
        return list(flat.astype(np.float64).tolist())
    return list(flat.tolist())


def _flatten(data: Any, depth: int = 0) -> Iterable[Any]:
    if depth > 32:
        raise MalformedAnswer("tensor data is nested more than 32 levels deep")
    for value in data:
        if isinstance(value, list):
            yield from _flatten(value, depth + 1)
        else:
            yield value


def from_json_data(data: Any, datatype: str, shape: Sequence[int], name: str) -> Array:
    """An array out of JSON values, flat or nested, every value checked against the type."""
    dtype = numpy_dtype(datatype)
    count = element_count(shape)
    if not isinstance(data, list):
        raise MalformedAnswer(f"data of output {name!r} is no array")
    values = list(_flatten(data))
    if len(values) != count:
        raise MalformedAnswer(
            f"output {name!r} has {len(values)} values, its shape {list(shape)} says {count}"
        )
    kind = dtype.kind
    wanted: tuple[type, ...] = {"b": (bool,), "u": (int,), "i": (int,), "O": (str,)}.get(
        kind, (int, float)
    )
    for value in values:
        if not isinstance(value, wanted) or (kind != "b" and isinstance(value, bool)):
            raise MalformedAnswer(f"output {name!r} of type {datatype} has the value {value!r:.60}")
    if kind == "O":
        return bytes_array([value.encode("utf-8", "surrogatepass") for value in values], shape)
    try:
        with np.errstate(over="ignore"):
            return np.array(values, dtype=dtype).reshape(tuple(shape))
    except (OverflowError, ValueError) as error:
        raise MalformedAnswer(f"output {name!r} of type {datatype}: {error}") from None
