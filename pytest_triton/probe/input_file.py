"""The file of ``--triton-inputs``: perf_analyzer's input-data JSON, or rules per tensor.

``{"data": [{"IN": [1, 2]}], "validation_data": [{"OUT": [3, 4]}]}`` as perf_analyzer reads it
(``content`` with ``shape``, ``b64``), or ``{"tensors": {"IN": {"low": 0, "high": 9,
"lengths": [8, 16]}}}``. Either may stand under ``{"models": {"name": …}}``.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from pytest_triton.errors import ToolError
from pytest_triton.probe.codec import bytes_array, decode_raw, numpy_dtype
from pytest_triton.probe.generate import Rule
from pytest_triton.probe.types import MalformedAnswer, Tensor, TensorInput, TensorSpec

_REMEDY = "see perf_analyzer's input-data format, or give low, high, values or lengths per tensor"


@dataclass(frozen=True)
class FileEntry:
    """What the file says for one model. ``rows`` are inputs without the batch dimension, with
    the outputs that belong to them (None: not told)."""

    rows: list[tuple[dict[str, TensorInput], dict[str, TensorInput] | None]] = field(
        default_factory=list
    )
    rules: dict[str, Rule] = field(default_factory=dict)


def read_input_file(
    path: Path,
    model: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    *,
    batches: bool,
) -> FileEntry | None:
    """What the file says for a model; None when it is about other tensors.

    Raises ToolError for a file that cannot be read or does not fit the model's tensors.
    """
    document = _read(path)
    section: Any = document
    if isinstance(document.get("models"), dict):
        if model not in document["models"]:
            return None
        section = document["models"][model]
    if not isinstance(section, dict):
        _refuse(path, f"the entry of {model!r} is no object")
    specs = {spec.name: spec for spec in inputs}
    results = {spec.name: spec for spec in outputs}
    entry = FileEntry()
    tensors = section.get("tensors", {})
    if not isinstance(tensors, dict):
        _refuse(path, "'tensors' is no object")
    for name, rule in tensors.items():
        if name in specs:
            entry.rules[name] = _rule(path, name, rule)
    data = _flat(section.get("data", []))
    validation = _flat(section.get("validation_data", []))
    for number, row in enumerate(data):
        if not isinstance(row, dict):
            _refuse(path, f"data[{number}] is no object")
        if not set(row) & set(specs):
            continue  # a file for another model
        if unknown := set(row) - set(specs):
            _refuse(path, f"data[{number}]: model {model!r} has no input {sorted(unknown)[0]!r}")
        told = validation[number] if number < len(validation) else None
        entry.rows.append(
            (
                {name: _tensor(path, specs[name], row[name], batches) for name in row},
                {
                    name: _tensor(path, results[name], told[name], batches)
                    for name in told
                    if name in results
                }
                if isinstance(told, dict)
                else None,
            )
        )
    return entry if entry.rows or entry.rules else None


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        _refuse(path, str(error))
    if not isinstance(document, dict):
        _refuse(path, "the file holds no object")
    return document


def _flat(data: Any) -> list[Any]:
    """perf_analyzer's streams (a list of lists), one after the other."""
    if not isinstance(data, list):
        return [data] if data else []
    return [row for part in data for row in (part if isinstance(part, list) else [part])]


def _rule(path: Path, name: str, rule: Any) -> Rule:
    known = {"low", "high", "values", "lengths"}
    if not isinstance(rule, dict) or set(rule) - known:
        _refuse(path, f"tensor {name!r}: a rule has {', '.join(sorted(known))}")
    low, high = rule.get("low"), rule.get("high")
    if (low is None) != (high is None) or (low is not None and not low < high):
        _refuse(path, f"tensor {name!r}: low and high come together, low below high")
    lengths = rule.get("lengths", [])
    if not all(isinstance(length, int) and length > 0 for length in lengths):
        _refuse(path, f"tensor {name!r}: lengths are whole numbers above 0")
    return Rule(low, high, tuple(rule.get("values", [])), tuple(lengths))


def _tensor(path: Path, spec: TensorSpec, given: Any, batches: bool) -> TensorInput:
    dims = spec.shape[1:] if batches else spec.shape
    shape: list[int] | None = None
    if isinstance(given, Mapping):
        shape = given.get("shape")
        if "b64" in given:
            return _from_b64(path, spec, str(given["b64"]), shape or dims)
        given = given.get("content")
    if not isinstance(given, list):
        _refuse(path, f"tensor {spec.name!r} is no array of values")
    flat = _values(given)
    if shape is None:
        shape = list(dims)
        if any(dim < 0 for dim in shape):
            # one variable dimension follows from the number of values
            fixed = math.prod(dim for dim in shape if dim >= 0)
            if sum(dim < 0 for dim in shape) > 1 or not fixed or len(flat) % fixed:
                _refuse(path, f"tensor {spec.name!r} needs its shape")
            shape = [dim if dim >= 0 else len(flat) // fixed for dim in shape]
    if math.prod(shape) != len(flat):
        _refuse(path, f"tensor {spec.name!r} has {len(flat)} values for shape {shape}")
    try:
        if spec.datatype == "BYTES":
            return bytes_array([str(item).encode("utf-8") for item in flat], shape)
        if spec.datatype == "BF16":
            bits = np.array(flat, np.float32).view(np.uint32) >> 16
            return Tensor(bits.astype(np.uint16).reshape(shape), "BF16")
        return np.array(flat, dtype=numpy_dtype(spec.datatype)).reshape(shape)
    except (TypeError, ValueError, OverflowError) as error:
        _refuse(path, f"tensor {spec.name!r} of type {spec.datatype}: {error}")


def _from_b64(path: Path, spec: TensorSpec, text: str, shape: Sequence[int]) -> TensorInput:
    try:
        raw = base64.b64decode(text, validate=True)
        if any(dim < 0 for dim in shape):
            _refuse(path, f"tensor {spec.name!r} needs its shape")
        array = decode_raw(raw, spec.datatype, list(shape), spec.name)
    except (binascii.Error, MalformedAnswer) as error:
        _refuse(path, f"tensor {spec.name!r}: {error}")
    return Tensor(array, "BF16") if spec.datatype == "BF16" else array


def _values(given: list[Any]) -> list[Any]:
    flat: list[Any] = []
    for item in given:
        flat += _values(item) if isinstance(item, list) else [item]
    return flat


def _refuse(path: Path, why: str) -> NoReturn:
    raise ToolError(f"{path}: {why}", _REMEDY)
