"""Values for tensors of which only metadata, and perhaps some rules, are known."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.probe.codec import bytes_array, numpy_dtype
from pytest_triton.probe.types import Array, Tensor, TensorInput, TensorSpec

SIZES = (4, 16, 33)
"""Sizes that variable dimensions get when nothing says better; an odd one among them."""
MAX_ELEMENTS = 1 << 26
"""Elements of the largest tensor that is made up."""
_WORDS = (
    b"triton",
    b"batch",
    b"tensor",
    b"model",
    b"server",
    b"request",
    b"answer",
    b"\xc3\xa9t\xc3\xa9",
)


@dataclass(frozen=True, slots=True)
class Rule:
    """What is known about a tensor's values: numbers in [low, high), or a list to draw from;
    ``lengths`` are the sizes that its variable dimensions take."""

    low: float | None = None
    high: float | None = None
    values: tuple[Any, ...] = ()
    lengths: tuple[int, ...] = ()


def generator(seed: int, model: str, *more: int) -> np.random.Generator:
    """A generator that depends on the seed and the model alone, not on the order of use."""
    return np.random.default_rng([seed, zlib.crc32(model.encode("utf-8")), *more])


def full_shape(spec: TensorSpec, *, batch: int | None, size: int) -> tuple[int, ...]:
    """Metadata's shape with ``batch`` first (None: the model does not batch) and ``size``
    for every variable dimension."""
    dims = spec.shape[1:] if batch is not None else spec.shape
    filled = tuple(size if dim < 0 else dim for dim in dims)
    return filled if batch is None else (batch, *filled)


def value(
    spec: TensorSpec, shape: tuple[int, ...], rng: np.random.Generator, rule: Rule | None = None
) -> TensorInput:
    """One tensor of the shape; BF16 as a Tensor of raw bits.

    Without a rule: masks are ones and token types zeros (by name), other integers lie in
    [0, 10), floats are normal, strings are short words.
    """
    rule = rule or Rule()
    dtype = numpy_dtype(spec.datatype)
    if math.prod(shape) > MAX_ELEMENTS:
        raise NotAssessed(
            Reason.NO_INPUTS, f"{spec.name} of shape {list(shape)!s:.80} is too large to generate"
        )
    if rule.values:
        picks = rng.integers(0, len(rule.values), shape)
        chosen = [rule.values[index] for index in picks.reshape(-1).tolist()]
        if spec.datatype == "BYTES":
            return bytes_array([_to_bytes(item) for item in chosen], shape)
        if spec.datatype != "BF16":
            return np.array(chosen, dtype=dtype).reshape(shape)
        return _bf16(np.array(chosen, dtype=np.float32).reshape(shape))
    if spec.datatype == "BYTES":
        words = rng.integers(0, len(_WORDS), shape).reshape(-1).tolist()
        return bytes_array([_WORDS[word] for word in words], shape)
    if spec.datatype == "BOOL":
        return rng.integers(0, 2, shape).astype(dtype)
    if spec.datatype in ("FP16", "BF16", "FP32", "FP64"):
        floats: Array
        if rule.low is not None and rule.high is not None:
            floats = rng.uniform(rule.low, rule.high, shape)
        else:
            floats = rng.standard_normal(shape)
        return _bf16(floats.astype(np.float32)) if spec.datatype == "BF16" else floats.astype(dtype)
    name = spec.name.lower()
    low, high = 0, 10
    if rule.low is not None and rule.high is not None:
        low, high = int(rule.low), max(int(rule.high), int(rule.low) + 1)
    elif "mask" in name:
        low, high = 1, 2
    elif "token_type" in name or "segment" in name:
        low, high = 0, 1
    if np.iinfo(dtype).bits == 64 and dtype.kind == "u":
        return rng.integers(low, high, shape, dtype=np.uint64)
    return rng.integers(low, high, shape, dtype=np.int64).astype(dtype)


def values(
    specs: Sequence[TensorSpec],
    rng: np.random.Generator,
    *,
    batch: int | None,
    size: int,
    rules: Mapping[str, Rule],
    turn: int = 0,
) -> dict[str, TensorInput]:
    """One value for each tensor; a rule's own lengths go before ``size``, the ``turn``-th."""
    made = {}
    for spec in specs:
        rule = rules.get(spec.name)
        own = rule.lengths[turn % len(rule.lengths)] if rule and rule.lengths else size
        made[spec.name] = value(spec, full_shape(spec, batch=batch, size=own), rng, rule)
    return made


def _bf16(floats: Array) -> Tensor:
    # truncation: the upper half of a float32 is a bfloat16
    bits = np.ascontiguousarray(floats, dtype=np.float32).view(np.uint32) >> 16
    return Tensor(bits.astype(np.uint16), "BF16")


def _to_bytes(item: Any) -> bytes:
    return item if isinstance(item, bytes) else str(item).encode("utf-8")
