"""One request's inputs, with the outputs that belong to them, and what can be made of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from pytest_triton.probe.codec import as_tensor, encode_raw
from pytest_triton.probe.types import Array, MalformedAnswer, Tensor, TensorInput, TensorSpec

Provenance = Literal["file", "sidecar", "warmup", "generated"]


#: How exact an answer has to be where nobody says.
RTOL, ATOL = 1e-3, 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class InputCase:
    """Inputs for one request, with the batch dimension when the model batches.

    ``expected`` holds outputs when they are known; an answer is right within ``atol + rtol *
    |expected|``. ``batch`` is 0 when the model does not batch.
    """

    name: str
    inputs: Mapping[str, TensorInput]
    expected: Mapping[str, Array] | None
    provenance: Provenance
    batch: int
    rtol: float = RTOL
    atol: float = ATOL
    decoupled: bool = False


def tensor_specs(entries: Sequence[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
    """The ``inputs`` or ``outputs`` of a model's metadata."""
    try:
        return tuple(
            TensorSpec(entry["name"], entry["datatype"], tuple(int(dim) for dim in entry["shape"]))
            for entry in entries
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedAnswer(f"metadata of tensors: {error!r} in {entries!r:.200}") from None


def lift(value: TensorInput, batches: bool) -> TensorInput:
    """A row as a batch of one, when the model batches."""
    if not batches:
        return value
    return Tensor(value.array[None], value.datatype) if isinstance(value, Tensor) else value[None]


def shapes(case: InputCase) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The shapes of a case's inputs: only equal ones can be batched."""
    return tuple(
        sorted((name, tuple(as_tensor(value).array.shape)) for name, value in case.inputs.items())
    )


def unlike(cases: Sequence[InputCase]) -> list[InputCase]:
    """The cases without those that ask what an earlier one asks: all rows of a warm-up are alike."""
    kept: dict[tuple[tuple[str, bytes], ...], InputCase] = {}
    for case in cases:
        asked = {name: encode_raw(as_tensor(value)) for name, value in case.inputs.items()}
        kept.setdefault(tuple(sorted(asked.items())), case)
    return list(kept.values())


def _pick(value: TensorInput, index: Any) -> TensorInput:
    if isinstance(value, Tensor):
        return Tensor(value.array[index], value.datatype)
    picked: Array = value[index]
    return picked


def _select(case: InputCase, index: Any, batch: int, name: str) -> InputCase:
    expected = case.expected
    if expected is not None:
        # an output without a row for each input row does not say which is whose
        whole = all(len(value) == case.batch for value in expected.values())
        expected = {key: value[index] for key, value in expected.items()} if whole else None
    inputs = {key: _pick(value, index) for key, value in case.inputs.items()}
    return replace(case, name=name, inputs=inputs, expected=expected, batch=batch)


def rows(case: InputCase) -> list[InputCase]:
    """The rows of a case as cases of batch 1."""
    if case.batch <= 1:
        return [case]
    return [_select(case, slice(at, at + 1), 1, f"{case.name}[{at}]") for at in range(case.batch)]


def rebatch(case: InputCase, batch: int) -> InputCase:
    """The case with ``batch`` rows: cut, or its rows repeated in order."""
    if case.batch in (0, batch):
        return case
    index = np.arange(batch) % case.batch
    return _select(case, index, batch, f"{case.name}×{batch}")


def stack(cases: Sequence[InputCase], name: str) -> InputCase:
    """Cases of equal shapes, one after the other in one batch."""
    first = cases[0]
    inputs: dict[str, TensorInput] = {}
    for key in first.inputs:
        tensors = [as_tensor(case.inputs[key]) for case in cases]
        whole = np.concatenate([tensor.array for tensor in tensors])
        inputs[key] = Tensor(whole, tensors[0].datatype)
    expected: dict[str, Array] | None = None
    if all(case.expected is not None for case in cases):
        expected = {
            key: np.concatenate([(case.expected or {})[key] for case in cases])
            for key in first.expected or {}
        }
    batch = sum(case.batch for case in cases)
    return replace(first, name=name, inputs=inputs, expected=expected, batch=batch)
