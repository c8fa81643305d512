"""Shared memory against the same request without it, also of a model that is not exact.

A model whose sums come in another order each time answers with other last bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pytest_triton.compare import mismatch
from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.exactly import other_bits
from pytest_triton.probe.codec import decode_raw
from pytest_triton.probe.types import InferResult, MalformedAnswer
from pytest_triton.sharing import Exchange

#: Requests without shared memory that tell whether a model always answers the same bits, and
#: requests with it where only the last bits are others.
PLAIN, TRIES = 3, 3
Told = Mapping[str, tuple[str, list[int]]]


def region_flaw(made: Exchange, send: Callable[[], Told]) -> str | None:
    """What is wrong with inference through regions; None: the outputs are right.

    ``send`` asks and gives what the answer tells of its outputs. Bit for bit where the model
    itself is exact, within the tolerances of the data types where it is not; NotAssessed where
    not even its own answers to one request are alike.
    """
    text = None
    for _ in range(TRIES):
        made.blank()
        told = send()
        text = made.problem(told)
        if text is None:
            return None
        if not _exact(made):
            return _roughly(made, told)
        if told != made.told or made.strayed() or _far(made, _values(made)):
            return text
    return text


def _plain(made: Exchange) -> dict[str, np.ndarray[Any, Any]]:
    """The outputs without shared memory."""
    return {
        name: decode_raw(memoryview(data), kind, shape, name)
        for name, (kind, shape, data) in made.layout.wanted.items()
    }


def _values(made: Exchange) -> dict[str, np.ndarray[Any, Any]] | None:
    try:
        return made.values()
    except MalformedAnswer:
        return None


def _far(made: Exchange, got: Mapping[str, np.ndarray[Any, Any]] | None) -> str | None:
    """How values differ from those without shared memory, within the tolerances; None: not."""
    if got is None:
        return "the region holds no tensor of that shape"
    kinds = {name: kind for name, (kind, _) in made.told.items()}
    case = made.case
    return mismatch(got, _plain(made), datatypes=kinds, rtol=case.rtol, atol=case.atol)


def _exact(made: Exchange) -> bool:
    """Whether the model gives the same bits each time. NotAssessed if it is not even near."""
    wanted, same = _plain(made), True
    for _ in range(PLAIN):
        answer: InferResult = made.subject.answer(made.model, made.case)
        if answer.datatypes != {name: kind for name, (kind, _) in made.told.items()} or (
            text := _far(made, answer.outputs)
        ):
            raise NotAssessed(
                Reason.NOT_APPLICABLE, f"{made.model} answers one request in several ways: {text}"
            )
        same = same and not any(
            other_bits(answer.outputs[name], wanted[name], kind)
            for name, (kind, _) in made.told.items()
        )
    return same


def _roughly(made: Exchange, told: Told) -> str | None:
    if told != made.told:
        return f"the answer tells outputs {dict(told)}, without shared memory {made.told}"
    if text := _far(made, _values(made)):
        return f"in the region, of a model that is not exact: {text}"
    return made.strayed()
