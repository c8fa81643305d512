"""Responses against what metadata and labels declare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_triton.probe.types import InferResult


def undeclared(
    answer: InferResult, outputs: Sequence[Mapping[str, Any]], *, whole: bool = True
) -> str:
    """What a response has otherwise than the outputs of the metadata say; "" for nothing.

    ``whole``: every output has to be there; a response of a decoupled model may have fewer.
    """
    declared = {tensor["name"]: tensor for tensor in outputs}
    missing = set(declared) - set(answer.outputs) if whole else set()
    if missing or set(answer.outputs) - set(declared):
        return f"outputs {sorted(answer.outputs)}, declared are {sorted(declared)}"
    for key, value in answer.outputs.items():
        datatype, shape = declared[key]["datatype"], declared[key]["shape"]
        if answer.datatypes[key] != datatype:
            return f"{key} is {answer.datatypes[key]}, declared is {datatype}"
        fits = len(shape) == value.ndim and all(
            dim in (-1, got) for dim, got in zip(shape, value.shape, strict=True)
        )
        if not fits:
            return f"{key} has shape {list(value.shape)}, declared is {shape}"
    return ""


def other_batch(answer: InferResult, batch: int) -> str:
    """An output whose first dimension is not the batch that was sent; "" for none."""
    for key, value in answer.outputs.items():
        if value.shape[:1] != (batch,):
            return f"{key} has shape {list(value.shape)} for a batch of {batch}"
    return ""


def wrong_labels(labels: Sequence[str], file: Sequence[str] | None, shape: Sequence[int]) -> str:
    """What is wrong with the labels of one output's classes; "" for nothing.

    ``labels`` are those of all classes as the server tells them, ``file`` the lines of the
    file, ``shape`` the declared one: where the number of classes is fixed, the file has as
    many lines.
    """
    bare = [index for index, label in enumerate(labels) if not label]
    if bare:
        return f"{len(bare)} of {len(labels)} classes have no label, the first is class {bare[0]}"
    lines = list(file or ())
    while lines and not lines[-1].strip():
        lines.pop()
    if file is not None and -1 not in shape[-1:] and len(lines) != len(labels):
        return f"the file of labels has {len(lines)} lines for {len(labels)} classes"
    return ""
