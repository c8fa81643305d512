"""Requests made out of known ones that a right model answers in a known way.

Padding that a mask hides, other lengths, and a row of a batch that is no number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pytest_triton.probe.cases import InputCase, stack
from pytest_triton.probe.codec import as_tensor
from pytest_triton.probe.types import InferResult, Tensor, TensorInput
from pytest_triton.served_model import ServedModel
from pytest_triton.subject import Subject

Array = np.ndarray[Any, Any]
#: What a row of floats holds that is no ordinary number, by the name that a finding gives it
#: and of its numpy type.
STRANGE: Mapping[str, Callable[[Any], Any]] = {
    "NaN": lambda kind: np.nan,
    "infinity": lambda kind: np.inf,
    "-infinity": lambda kind: -np.inf,
    "the largest number": lambda kind: np.finfo(kind).max,
    "the smallest subnormal": lambda kind: np.finfo(kind).smallest_subnormal,
}
#: Names of masks whose meaning is agreed on.
MASKS = ("attention_mask", "attn_mask", "input_mask")
_FLOATS = ("FP16", "FP32", "FP64")


@dataclass(frozen=True, slots=True)
class Masked:
    """A model's mask of ones and zeros, and the inputs of the same shape that it hides.

    ``mask`` and ``hidden`` are names of inputs.
    """

    mask: str
    hidden: tuple[str, ...]


def masked(model: ServedModel) -> Masked | None:
    """The mask of a model, by its name and shape; None: it has none that can be told.

    An integer or Boolean input that is called as such masks are (1 for a position that counts),
    beside integer inputs with the same dims of which one is variable, and no other input whose
    size varies. Masks of other names may mean the opposite, or something else.
    """
    entries = {str(entry["name"]): entry for entry in model.config.get("input", [])}
    masks = [name for name in entries if name.lower() in MASKS]
    if len(masks) != 1:
        return None
    mask = entries[masks[0]]
    dims = [int(dim) for dim in mask.get("dims", [])]
    if -1 not in dims or not _whole(mask):
        return None
    hidden = tuple(
        name
        for name, entry in entries.items()
        if name != masks[0] and _whole(entry) and [int(d) for d in entry.get("dims", [])] == dims
    )
    varying = {name for name, e in entries.items() if -1 in [int(d) for d in e.get("dims", [])]}
    return Masked(masks[0], hidden) if hidden and varying == {masks[0], *hidden} else None


def _whole(entry: Any) -> bool:
    return str(entry.get("data_type")).startswith(("TYPE_INT", "TYPE_UINT", "TYPE_BOOL"))


def padded(
    case: InputCase, tensors: Masked, count: int, other: InputCase, *, left: bool = False
) -> InputCase:
    """``case`` with ``count`` more positions at the end (or before it) that its mask hides.

    They hold what the same inputs of ``other`` begin with: values that the model knows.
    """
    inputs: dict[str, TensorInput] = dict(case.inputs)

    def put(name: str, more: Array) -> None:
        mine = _array(case, name)
        inputs[name] = np.concatenate([more, mine] if left else [mine, more], axis=-1)

    for name in tensors.hidden:
        theirs = _array(other, name)
        put(name, np.take(theirs, np.arange(count) % theirs.shape[-1], axis=-1))
    mask = _array(case, tensors.mask)
    put(tensors.mask, np.zeros((*mask.shape[:-1], count), dtype=mask.dtype))
    name = f"+{count} {case.name}" if left else f"{case.name} +{count}"
    return replace(case, name=name, inputs=inputs, expected=None)


def _array(case: InputCase, name: str) -> Array:
    array: Array = as_tensor(case.inputs[name]).array
    return array


def without_padding(
    answer: InferResult, length: int, longer: int, *, left: bool = False
) -> dict[str, Array]:
    """Outputs cut to ``length`` wherever a dimension follows the ``longer`` input."""
    kept = slice(longer - length, None) if left else slice(length)
    return {
        name: value[tuple(kept if size == longer else slice(None) for size in value.shape)]
        for name, value in answer.outputs.items()
    }


def variable_axis(model: ServedModel) -> tuple[int, tuple[str, ...]] | None:
    """The one variable dimension that inputs of a model share: axis from the end, and inputs.

    None where there is none, or where inputs have several: they might belong together in a
    way that nobody tells.
    """
    axes: dict[str, int] = {}
    for entry in model.config.get("input", []):
        dims = [int(dim) for dim in entry.get("dims", [])]
        if dims.count(-1) > 1 or entry.get("data_type") == "TYPE_STRING":
            return None
        if -1 in dims:
            axes[str(entry["name"])] = dims.index(-1) - len(dims)
    if len(set(axes.values())) != 1:
        return None
    return next(iter(axes.values())), tuple(axes)


def shortened(case: InputCase, axis: int, names: tuple[str, ...]) -> Iterator[InputCase]:
    """The case cut to other lengths along its variable dimension: 1, 2, odd ones, and whole.

    Nothing where its inputs differ in length.
    """
    sent = [name for name in names if name in case.inputs]
    lengths = {_array(case, name).shape[axis] for name in sent}
    if len(lengths) != 1:
        return
    whole = lengths.pop()
    for length in sorted({1, 2, 3, max(1, whole // 2) | 1, max(1, whole - 1), whole}):
        if length <= whole:
            yield prefix(case, axis, names, length)


def prefix(case: InputCase, axis: int, names: tuple[str, ...], length: int) -> InputCase:
    """The case with the first ``length`` positions of some inputs along an axis."""
    inputs: dict[str, TensorInput] = dict(case.inputs)
    for name in names:
        if name in case.inputs:
            tensor = as_tensor(case.inputs[name])
            cut = np.take(tensor.array, np.arange(length), axis=axis)
            inputs[name] = Tensor(np.ascontiguousarray(cut), tensor.datatype)
    return replace(case, name=f"{case.name}, length {length}", inputs=inputs, expected=None)


def float_inputs(model: ServedModel) -> list[str]:
    """Names of the inputs of floating-point numbers."""
    kinds = tuple(f"TYPE_{kind}" for kind in _FLOATS)
    return [
        str(entry["name"])
        for entry in model.config.get("input", [])
        if entry.get("data_type") in kinds
    ]


def strange(case: InputCase, names: list[str]) -> Iterator[tuple[str, InputCase]]:
    """The case with every float replaced by something extreme, and what it is."""
    for what, number in STRANGE.items():
        inputs: dict[str, TensorInput] = dict(case.inputs)
        for name in set(names) & set(case.inputs):
            array = _array(case, name)
            inputs[name] = np.full_like(array, number(array.dtype))
        yield what, replace(case, name=what, inputs=inputs, expected=None)


def between(first: InputCase, middle: InputCase, last: InputCase) -> InputCase:
    """A batch of three with ``middle`` in the middle."""
    return stack([first, middle, last], f"{middle.name} between two others")


def batching_floats(subject: Subject) -> list[str]:
    """Models that take three rows, with floats among their inputs."""
    return [
        name
        for name, model in subject.unary.items()
        if model.max_batch_size >= 3 and float_inputs(model)
    ]
