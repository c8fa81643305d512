"""The requests that every arm gets."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pytest_triton.errors import Misused
from pytest_triton.export.cases import draw
from pytest_triton.export.interface import Signature
from pytest_triton.repository.sidecar import Tensors
from pytest_triton.repository.tensors import NUMPY_OF

#: Distinct requests of a batch size, sent in turn: as many as there is room for their answers.
MOST, LEAST, ROOM = 16, 2, 64 << 20


def requests_of(signature: Signature, batch: int, length: int, seed: int) -> list[Tensors]:
    """Distinct seeded requests; every axis has ``length``, within its limits.

    Raises Misused for inputs that no values can be drawn for.
    """
    axes = {name: max(low, min(high, length)) for name, (low, high) in signature.axes.items()}
    random = np.random.default_rng([seed, batch, length])
    count = max(LEAST, min(MOST, ROOM // max(1, answer_bytes(signature, batch, axes, length))))
    try:
        return [draw(signature, batch, axes, random) for _ in range(count)]
    except ValueError as error:
        raise Misused(str(error), "ablate takes models of numbers") from None


def answer_bytes(signature: Signature, batch: int, axes: Mapping[str, int], length: int) -> int:
    """Bytes of an answer: the logits of a language model are large, and all arms' are kept."""
    total = 0
    for output in signature.outputs:
        size = batch * np.dtype(NUMPY_OF[output.datatype]).itemsize
        for dim in output.shape:
            size *= axes.get(dim, length) if isinstance(dim, str) else dim if dim > 0 else length
        total += size
    return total
