"""Answers that have to be what was sent: names, data types, shapes and every bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pytest_triton.probe.codec import encode_raw, triton_datatype
from pytest_triton.probe.types import InferResult, Tensor

Array = np.ndarray[Any, Any]


def altered(answer: InferResult, wanted: Mapping[str, Array]) -> str:
    """What an answer has otherwise than the outputs ``wanted``, bit by bit; "" for nothing."""
    if sorted(answer.outputs) != sorted(wanted):
        return f"outputs {sorted(answer.outputs)}, expected {sorted(wanted)}"
    for name, array in wanted.items():
        datatype = triton_datatype(array)
        if answer.datatypes.get(name) != datatype:
            return f"{name} has datatype {answer.datatypes.get(name)!r}, expected {datatype}"
        if text := other_bits(answer.outputs[name], array, datatype):
            return f"{name}: {text}"
    return ""


def other_bits(got: Array, wanted: Array, datatype: str) -> str:
    """The first element, or the shape, in which two arrays of one datatype differ; ""."""
    if got.shape != wanted.shape:
        return f"shape {list(got.shape)}, expected {list(wanted.shape)}"
    pairs = zip(got.reshape(-1), wanted.reshape(-1), strict=True)
    for place, (one, two) in enumerate(pairs):
        if datatype == "BYTES":
            if one != two:
                return f"element {place} is {one!r:.60}, expected {two!r:.60}"
            continue
        mine, theirs = _bits(one, datatype), _bits(two, datatype)
        if mine != theirs:
            return (
                f"element {place} is {one} (bits {mine.hex()}), expected {two} "
                f"(bits {theirs.hex()}, the greatest first)"
            )
    return ""


def _bits(value: Any, datatype: str) -> bytes:
    return encode_raw(Tensor(np.asarray(value), datatype))[::-1]


def differ(one: InferResult, other: InferResult) -> str:
    """What two answers to the same request do not have in common; "" for nothing."""
    for field in ("model_name", "model_version", "id", "datatypes"):
        left, right = getattr(one, field), getattr(other, field)
        if left != right:
            return f"{field}: {left!r} and {right!r}"
    if sorted(one.outputs) != sorted(other.outputs):
        return f"outputs {sorted(one.outputs)} and {sorted(other.outputs)}"
    for name, array in one.outputs.items():
        if text := other_bits(other.outputs[name], array, one.datatypes[name]):
            return f"{name}: {text}"
    return ""
