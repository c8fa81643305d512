"""Whether a mask hides padding: the same tokens, padded and not, get the same answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pytest_triton.compare import mismatch
from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.probe.cases import InputCase, rows
from pytest_triton.probe.codec import as_tensor
from pytest_triton.probe.types import Array, InferResult, TensorInput
from pytest_triton.subject import Subject
from pytest_triton.varying import Masked, padded, prefix, without_padding

#: Positions that a request needs: half of them become padding.
SHORTEST = 4


def longest(subject: Subject, model: str, names: tuple[str, ...]) -> InputCase:
    """The known row that is longest in the last dimension of an input."""
    cases = subject.cases(model)
    return rows(max(cases, key=lambda case: max(_length(case, name) for name in names)))[0]


def _length(case: InputCase, name: str) -> int:
    return as_tensor(case.inputs[name]).array.shape[-1] if name in case.inputs else 0


def padding_problem(subject: Subject, model: str, tensors: Masked) -> str | None:
    """How padding shows in the answer; None: it does not, on one of the two sides.

    Padding goes to the right, and to the left where that shows: which one a model wants is
    its own affair. NotAssessed where no request is long enough to be cut in two.
    """
    names = (tensors.mask, *tensors.hidden)
    whole = longest(subject, model, names)
    length = min(_length(whole, name) for name in names)
    if length < SHORTEST:
        raise NotAssessed(
            Reason.NO_INPUTS,
            f"the longest known request has {length} positions: give --triton-inputs FILE with "
            f"one of {SHORTEST} or more",
        )
    short = _all_seen(prefix(whole, -1, names, length // 2), tensors)
    plain = subject.answer(model, short)
    found = []
    for left in (False, True):
        text = next(
            (
                text
                for case in _paddings(short, tensors, length, whole, plain, left=left)
                if (text := _shown(subject, model, case, short, plain))
            ),
            None,
        )
        if text is None:
            return None
        found.append(f"{'left' if left else 'right'}: {text}")
    return f"padding that the mask {tensors.mask!r} hides changes the answer, " + "; ".join(found)


def _all_seen(case: InputCase, tensors: Masked) -> InputCase:
    """The case with a mask of ones."""
    mask = as_tensor(case.inputs[tensors.mask]).array
    inputs: dict[str, TensorInput] = {**case.inputs, tensors.mask: mask * 0 + 1}
    return replace(case, inputs=inputs, expected=None)


def _paddings(
    short: InputCase,
    tensors: Masked,
    most: int,
    other: InputCase,
    plain: InferResult,
    *,
    left: bool,
) -> Iterator[InputCase]:
    """The case with hidden positions up to ``most``; their number is no size of an output."""
    length = _length(short, tensors.mask)
    sizes = {size for value in plain.outputs.values() for size in value.shape}
    for longer in (length + 1, most):
        if longer not in sizes:
            yield padded(short, tensors, longer - length, other, left=left)


def _shown(
    subject: Subject, model: str, case: InputCase, short: InputCase, plain: InferResult
) -> str | None:
    got = subject.answer(model, case)
    length, longer = (max(_length(one, n) for n in one.inputs) for one in (short, case))
    left = case.name.startswith("+")
    mine: dict[str, Array] = without_padding(got, length, longer, left=left)
    text = mismatch(
        mine, plain.outputs, datatypes=plain.datatypes, rtol=short.rtol, atol=short.atol
    )
    return f"{longer - length} more positions: {text}" if text else None
