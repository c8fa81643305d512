"""Sequences on the probe model SEQUENCE, which answers with the sum of each so far."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from pytest_triton.backlog import TRIES
from pytest_triton.criteria import Inconclusive
from pytest_triton.errors import SubjectFault
from pytest_triton.messages import one_value
from pytest_triton.probe.types import InferResult, RequestFailed
from pytest_triton.probe_set import SEQUENCE
from pytest_triton.subject import Subject

T = TypeVar("T")
#: Seconds of silence after which the model gives a sequence up, and those that cannot be it yet.
IDLE_S, SAFE_S = 1.0, 0.7
_IDS = random.SystemRandom()  # no two judges of one server may speak for the same sequence


@dataclass(frozen=True, slots=True)
class Way:
    """A protocol by which a model can be asked, and its status for a wrong request."""

    name: str
    infer: Callable[..., InferResult]
    wrong: int | str


def ways(subject: Subject) -> list[Way]:
    """HTTP with JSON, and gRPC where its endpoint is known."""

    def over_http(*args: Any, **keywords: Any) -> InferResult:
        return subject.http.infer(*args, binary=False, **keywords)

    found = [Way("HTTP", over_http, 400)]
    if subject.grpc is not None:
        found.append(Way("gRPC", subject.grpc.infer, "INVALID_ARGUMENT"))
    return found


def new_id() -> int:
    """A correlation id that nobody else uses."""
    return _IDS.randrange(1 << 20, 1 << 31)


def value_of(number: int, rows: int = 1) -> dict[str, np.ndarray[Any, Any]]:
    """Inputs of SEQUENCE."""
    return {"INPUT": np.full((rows, 1), number, dtype=np.int32)}


class TooSlow(Exception):
    """So much time passed between two requests that the server may give the sequence up."""


class Sequence:
    """One sequence, asked over one protocol."""

    def __init__(self, way: Way, name: str = "") -> None:
        self.id = new_id()
        self._way = way
        self._name = name
        self._last = 0.0

    def say(self, number: int, *, start: bool = False, end: bool = False) -> int:
        """Send a number; the sum that comes back.

        Raises a ProbeError, SubjectFault when the model was told another sequence, and
        TooSlow for a refusal that slowness explains.
        """
        before, self._last = self._last, time.monotonic()
        parameters: dict[str, Any] = {"sequence_id": self.id}
        parameters |= {"sequence_start": True} if start else {}
        parameters |= {"sequence_end": True} if end else {}
        try:
            result = self._way.infer(
                SEQUENCE, value_of(number), parameters=parameters, request_id=self._name
            )
        except RequestFailed as error:
            if not start and "START" in error.message and time.monotonic() - before > SAFE_S:
                raise TooSlow from error
            raise
        whose, total = one_value(result, "SEQUENCE"), one_value(result, "OUTPUT")
        if whose != self.id:
            raise SubjectFault(f"the model was told sequence {whose}, sent was {self.id}")
        if not isinstance(total, np.integer):
            raise SubjectFault(f"OUTPUT is {total!r}, not an integer")
        return int(total)


def steadily(attempt: Callable[[], T]) -> T:
    """The first outcome on time; Inconclusive when the machine was too slow every time."""
    for _ in range(TRIES):
        try:
            return attempt()
        except TooSlow:
            continue
    raise Inconclusive(f"more than {SAFE_S} s between two requests of a sequence, {TRIES} times")


def interleaved(way: Way, values: list[list[int]], name: str) -> list[list[int]]:
    """The sums of several sequences that take turns, each with its own values."""

    def attempt() -> list[list[int]]:
        all_of_them = [Sequence(way, name) for _ in values]
        sums: list[list[int]] = [[] for _ in values]
        last = len(values[0]) - 1
        for at in range(last + 1):
            for sequence, own, told in zip(all_of_them, values, sums, strict=True):
                told.append(sequence.say(own[at], start=at == 0, end=at == last))
        return sums

    return steadily(attempt)


def running_sums(values: list[int]) -> list[int]:
    """What SEQUENCE has to answer."""
    return [sum(values[: at + 1]) for at in range(len(values))]


def silence(way: Way, seconds: tuple[float, ...]) -> str | None:
    """The refusal after a silence; None when the sequence outlives even the longest one."""
    for pause in seconds:
        sequence = Sequence(way, "seq-06")
        sequence.say(5, start=True)
        time.sleep(pause)
        try:
            way.infer(
                SEQUENCE, value_of(6), parameters={"sequence_id": sequence.id},
                request_id="seq-06 late",
            )  # fmt: skip
        except RequestFailed as error:
            return f"{error.status}: {error.message}"
    return None
