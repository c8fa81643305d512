"""The inputs that a model's own configuration warms it up with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pytest_triton.probe import generate
from pytest_triton.probe.cases import InputCase
from pytest_triton.probe.codec import bytes_array, decode_raw, numpy_dtype
from pytest_triton.probe.types import MalformedAnswer, Tensor, TensorInput, TensorSpec
from pytest_triton.repository.tensors import wire_type


def warmup_cases(
    model: str,
    inputs: tuple[TensorSpec, ...],
    config: Mapping[str, Any],
    *,
    batches: bool,
    seed: int,
    directory: Path | None,
) -> list[InputCase]:
    """A case for each entry of ``model_warmup`` that can be made here.

    ``directory`` is the model's own, where the files of ``warmup/`` lie.
    """
    specs = {spec.name: spec for spec in inputs}
    found = []
    for number, warmup in enumerate(config.get("model_warmup") or []):
        batch = max(1, int(warmup.get("batch_size") or 0)) if batches else None
        rng = generate.generator(seed, model, 2, number)
        made: dict[str, TensorInput] = {}
        for name, entry in (warmup.get("inputs") or {}).items():
            tensor = _tensor(directory, specs.get(name), entry, batch, rng)
            if tensor is None:
                break
            made[name] = tensor
        else:
            if made:
                name = str(warmup.get("name") or f"warmup-{number}")
                found.append(InputCase(name, made, None, "warmup", batch or 0))
    return found


def _tensor(
    directory: Path | None,
    spec: TensorSpec | None,
    entry: Mapping[str, Any],
    batch: int | None,
    rng: np.random.Generator,
) -> TensorInput | None:
    """None when it cannot be made here: unknown, or its file is out of reach."""
    datatype = wire_type(str(entry.get("data_type", "")))
    if spec is None or datatype != spec.datatype:
        return None
    dims = tuple(int(dim) for dim in entry.get("dims") or [])
    shape = dims if batch is None else (batch, *dims)
    if any(dim < 0 for dim in dims) or math.prod(shape) > generate.MAX_ELEMENTS:
        return None
    if entry.get("zero_data"):
        if datatype == "BYTES":
            return bytes_array([b""] * int(np.prod(shape, dtype=np.int64)), shape)
        zeros = np.zeros(shape, numpy_dtype(datatype))
        return Tensor(zeros, "BF16") if datatype == "BF16" else zeros
    if entry.get("random_data"):
        return generate.value(spec, shape, rng)
    if directory is None or not entry.get("input_data_file"):
        return None
    path = directory / "warmup" / str(entry["input_data_file"])
    try:
        row = decode_raw(path.read_bytes(), datatype, list(dims), spec.name)
    except (OSError, MalformedAnswer):
        return None
    if batch is not None:  # Triton repeats the row
        row = np.repeat(row[None], batch, axis=0)
    return Tensor(row, "BF16") if datatype == "BF16" else row
