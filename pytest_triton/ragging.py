"""Requests of different lengths that may share an execution."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from pytest_triton.exactly import not_own
from pytest_triton.probe.types import InferResult, MalformedAnswer
from pytest_triton.probe_set import RAGGED, VERSION
from pytest_triton.subject import Subject

#: Seconds within which requests of one round have to share an execution once.
PATIENCE = 15.0
#: Rounds in which all requests were on their way together, and none shared an execution.
ENOUGH = 5
#: Seconds that the probe model's scheduler waits for others; a round that began within half
#: of it is together.
DELAY = 0.2


@dataclass(frozen=True, slots=True)
class Round:
    """Requests sent at the same time: what each was told, and whether they were in time."""

    sums: dict[int, int]
    shared: dict[int, int]
    together: bool


def values(length: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    """VALUES [1, length]; the sum tells the length."""
    return np.arange(1, length + 1, dtype=np.int32).reshape(1, length) * 10


def total(length: int) -> int:
    """The sum of :func:`values`."""
    return int(values(length).sum())


def one_round(subject: Subject, lengths: Sequence[int], name: str) -> Round:
    """Send one request of each length at the same time, with ids that begin with ``name``.

    Raises a fault of the subject: MalformedAnswer where an answer says that it is another's.
    """
    subject.permit(len(lengths))
    barrier = threading.Barrier(len(lengths))

    def one(length: int) -> tuple[float, float, InferResult]:
        barrier.wait(10)
        began = time.monotonic()
        sent = {"VALUES": values(length)}
        answer = subject.http.infer(RAGGED, sent, request_id=f"{name} {length}")
        return began, time.monotonic(), answer

    with ThreadPoolExecutor(len(lengths)) as pool:
        done = list(pool.map(one, lengths))
    sums, shared = {}, {}
    for length, (_, _, answer) in zip(lengths, done, strict=True):
        if text := not_own(answer, f"{name} {length}", RAGGED, VERSION):
            raise MalformedAnswer(f"{length} values: {text}")
        output = answer.outputs.get("OUTPUT")
        if output is None or output.shape != (1, 2) or output.dtype.kind != "i":
            shape = None if output is None else list(output.shape)
            raise MalformedAnswer(f"{length} values: OUTPUT has shape {shape}, expected [1, 2]")
        sums[length], shared[length] = int(output[0, 0]), int(output[0, 1])
    began = [start for start, _, _ in done]
    together = max(began) - min(began) < DELAY / 2 and max(began) < min(end for _, end, _ in done)
    return Round(sums, shared, together)
