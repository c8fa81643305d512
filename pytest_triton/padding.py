"""Whether a mask hides padding: the same tokens, padded and not, get the same answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pytest_triton.compare import mismatch
from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.probe.cases import InputCase, rows
from pytest_triton.probe.codec import as_tensor
from pytest_triton.probe.types import Array, InferResult, TensorInput
from pytest_triton.subject import Subject
from pytest_triton.varying import Masked, padded, prefix, without_padding

#: Positions that a request needs: half of them become padding.
SHORTEST = 4


def longest(subject: Subject, model: str, axis: int, names: tuple[str, ...]) -> InputCase:
    """The known row that is longest along an axis of some inputs."""
    cases = subject.cases(model)
    return rows(max(cases, key=lambda case: max(length_of(case, n, axis) for n in names)))[0]


def length_of(case: InputCase, name: str, axis: int = -1) -> int:
    """The size of an input along an axis; 0 where the case has no such input."""
    return int(as_tensor(case.inputs[name]).array.shape[axis]) if name in case.inputs else 0


def padding_problem(subject: Subject, model: str, tensors: Masked) -> str | None:
    """How padding shows in the answer; None: it does not, on one of the two sides.

    Padding goes to the right, and to the left where that shows: which one a model wants is
    its own affair. NotAssessed where no request is long enough to be cut in two, where the
    answer to the same request changes or is no number, and where outputs grow otherwise than
    inputs do.
    """
    whole = longest(subject, model, -1, (tensors.mask, *tensors.hidden))
    tensors = Masked(tensors.mask, tuple(name for name in tensors.hidden if name in whole.inputs))
    names = (tensors.mask, *tensors.hidden)
    length = min(length_of(whole, name) for name in names)
    if length < SHORTEST or not tensors.hidden:
        raise NotAssessed(
            Reason.NO_INPUTS,
            f"the longest known request has {length} positions: give --triton-inputs FILE with "
            f"one of {SHORTEST} or more",
        )
    short = _all_seen(prefix(whole, -1, names, length // 2), tensors)
    plain = subject.answer(model, short)
    _worth_comparing(subject, model, short, plain)
    found = []
    for left in (False, True):
        text = next(
            (
                text
                for longer in _longer(short, names[0], length, plain)
                if (text := _shown(subject, model, tensors, short, whole, longer, plain, left=left))
            ),
            None,
        )
        if text is None:
            return None
        found.append(f"{'left' if left else 'right'}: {text}")
    return f"padding that the mask {tensors.mask!r} hides changes the answer, " + "; ".join(found)


def _worth_comparing(subject: Subject, model: str, case: InputCase, plain: InferResult) -> None:
    again = subject.answer(model, case)
    text = mismatch(
        again.outputs, plain.outputs, datatypes=plain.datatypes, rtol=case.rtol, atol=case.atol
    )
    if text:
        raise NotAssessed(
            Reason.NOT_APPLICABLE, f"it answers one request in several ways (see ACC-07): {text}"
        )
    for name, value in plain.outputs.items():
        if value.dtype.kind == "f" and np.isnan(value).any():
            raise NotAssessed(
                Reason.NOT_APPLICABLE, f"{name} has NaN for a request without padding"
            )


def _all_seen(case: InputCase, tensors: Masked) -> InputCase:
    """The case with a mask of ones."""
    mask = np.ones_like(as_tensor(case.inputs[tensors.mask]).array)
    inputs: dict[str, TensorInput] = {**case.inputs, tensors.mask: mask}
    return replace(case, inputs=inputs, expected=None)


def _longer(short: InputCase, mask: str, most: int, plain: InferResult) -> tuple[int, ...]:
    """Lengths with padding, none of which is a size of an output."""
    sizes = {size for value in plain.outputs.values() for size in value.shape}
    return tuple(n for n in (length_of(short, mask) + 1, most) if n not in sizes)


def _shown(
    subject: Subject, model: str, tensors: Masked, short: InputCase, other: InputCase,
    longer: int, plain: InferResult, *, left: bool,
) -> str | None:  # fmt: skip
    length = length_of(short, tensors.mask)
    got = subject.answer(model, padded(short, tensors, longer - length, other, left=left))
    mine: dict[str, Array] = without_padding(got, length, longer, left=left)
    for name, value in plain.outputs.items():
        if name in mine and mine[name].shape != value.shape:
            raise NotAssessed(
                Reason.NOT_APPLICABLE,
                f"output {name!r} has shape {list(got.outputs[name].shape)} for {longer} "
                f"positions and {list(value.shape)} for {length}: it grows otherwise",
            )
    text = mismatch(
        mine, plain.outputs, datatypes=plain.datatypes, rtol=short.rtol, atol=short.atol
    )
    return f"{longer - length} more positions: {text}" if text else None
