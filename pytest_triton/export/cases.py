"""Inputs for the proof of parity: sizes that were not traced, values within their ranges."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from pytest_triton.export.interface import Case, Signature
from pytest_triton.repository.sidecar import Tensors
from pytest_triton.repository.tensors import NUMPY_OF, TensorSpec

#: Size of a dimension that is written as -1 and has no name.
_ANONYMOUS = 3


def sizes_of(inputs: Tensors, signature: Signature) -> tuple[int, dict[str, int]]:
    """Rows of the batch (0 without batching) and the size of every named axis of these inputs."""
    batch, axes = 0, {}
    for tensor in signature.inputs:
        shape = np.shape(inputs[tensor.name])
        if signature.max_batch_size > 0:
            batch, shape = shape[0], shape[1:]
        axes.update(
            {
                name: size
                for name, size in zip(tensor.shape, shape, strict=True)
                if isinstance(name, str)
            }
        )
    return batch, axes


def draw(
    signature: Signature, batch: int, axes: Mapping[str, int], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """One request of these sizes, drawn from the ranges of its inputs."""
    lead = (batch,) if signature.max_batch_size > 0 else ()
    drawn = {}
    for tensor in signature.inputs:
        shape = lead + tuple(
            axes[size] if isinstance(size, str) else (_ANONYMOUS if size < 0 else size)
            for size in tensor.shape
        )
        drawn[tensor.name] = _values(tensor, shape, signature.ranges.get(tensor.name), rng)
    return drawn


def _values(
    tensor: TensorSpec,
    shape: tuple[int, ...],
    limits: tuple[float, float] | None,
    rng: np.random.Generator,
) -> np.ndarray:
    kind = np.dtype(NUMPY_OF[tensor.datatype])
    if kind.kind == "f":
        if limits is None:
            return rng.standard_normal(shape).astype(kind)
        return rng.uniform(*limits, shape).astype(kind)
    if kind.kind == "b":
        return rng.random(shape) < 0.5
    if kind.kind in "iu":
        # Without a range only 0 and 1 are values that most models understand.
        low, high = limits or (0, 2)
        return rng.integers(int(low), int(high), shape, dtype=kind)
    raise ValueError(f"{tensor.name}: no values can be drawn for {tensor.datatype}; give cases")


def untraced_cases(signature: Signature, traced: Tensors, *, seed: int) -> list[Case]:
    """Batches and axis sizes that differ from the traced ones: ends of the range and between.

    A trace that has baked a size in answers wrongly, or not at all, on at least one of them.
    """
    traced_batch, traced_axes = sizes_of(traced, signature)
    most = signature.max_batch_size
    batches = [b for b in dict.fromkeys((1, 2, 3, most)) if 0 < b <= most and b != traced_batch]
    plans: list[tuple[int, dict[str, int]]] = [(batch, dict(traced_axes)) for batch in batches]
    for name, (low, high) in signature.axes.items():
        between = (low + high) // 2 | 1
        for turn, size in enumerate(dict.fromkeys((low, between, high))):
            if low <= size <= high and size != traced_axes.get(name):
                batch = min(turn + 1, most)
                plans.append((batch, {**traced_axes, name: size}))
    if not plans:
        plans.append((traced_batch, dict(traced_axes)))
    cases = []
    for batch, axes in plans:
        name = "_".join([f"batch{batch}"] * (most > 0) + [f"{k}{v}" for k, v in axes.items()])
        name = name or "fixed"
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        cases.append(Case(name, draw(signature, batch, axes, rng)))
    return list({case.name: case for case in cases}.values())
