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
    place = _first_difference(got, wanted, datatype)
    if place is None:
        return ""
    one, two = got.reshape(-1)[place], wanted.reshape(-1)[place]
    if datatype == "BYTES":
        return f"element {place} is {one!r:.60}, expected {two!r:.60}"
    return (
        f"element {place} is {one} (bits {_bits(one, datatype).hex()}), expected {two} "
        f"(bits {_bits(two, datatype).hex()}, the greatest first)"
    )


def _first_difference(got: Array, wanted: Array, datatype: str) -> int | None:
    """The place of the first element that differs in a bit; arrays of equal shape."""
    if datatype == "BYTES":
        pairs = zip(got.reshape(-1), wanted.reshape(-1), strict=True)
        return next((place for place, (one, two) in enumerate(pairs) if one != two), None)
    sides = [np.frombuffer(encode_raw(Tensor(one, datatype)), np.uint8) for one in (got, wanted)]
    unlike = np.flatnonzero(sides[0] != sides[1])
    return int(unlike[0]) // (len(sides[0]) // got.size) if len(unlike) else None


def _bits(value: Any, datatype: str) -> bytes:
    return encode_raw(Tensor(np.asarray(value), datatype))[::-1]


def not_own(answer: InferResult, request_id: str, model: str, version: str) -> str:
    """What says that an answer is not that of a request: its id, its model; "" for nothing.

    A ``version`` of "" is any.
    """
    for what, told, sent in (
        ("id", answer.id, request_id),
        ("model_name", answer.model_name, model),
        ("model_version", answer.model_version, version or answer.model_version),
    ):
        if told != sent:
            return f"the answer has the {what} {told!r}, expected {sent!r}"
    return ""


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
