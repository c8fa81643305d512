"""Requests that wait behind others: in which turn they are executed, and which never are.

The probe models SLOW and QUEUE execute one request at a time and number them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from pytest_triton.criteria import Inconclusive
from pytest_triton.messages import one_value
from pytest_triton.probe.types import ConnectionFailed, MalformedAnswer
from pytest_triton.probe_set import SLOW
from pytest_triton.subject import Subject

T = TypeVar("T")
#: Milliseconds that the model is kept busy, and seconds for a request to reach its queue.
BUSY_MS, ARRIVAL_S = 600, 0.15
#: Tries on a machine that is too slow for a plan that lives of its timing.
TRIES = 3


@dataclass(frozen=True, slots=True)
class Turn:
    """The number that a model gave to one request; when it was sent and answered (seconds)."""

    number: int
    sent: float
    answered: float


def turn(
    subject: Subject, delay_ms: int, *, model: str = SLOW, protocol: Any = None, **keywords: Any
) -> Turn:
    """Ask a model to be busy for some time. Raises a ProbeError."""
    sent = time.monotonic()
    inputs = {"DELAY_MS": np.array([[delay_ms]], dtype=np.int32)}
    if protocol is None:
        protocol, keywords = subject.http, {"binary": False, **keywords}
    number = one_value(protocol.infer(model, inputs, **keywords), "TURN")
    if not isinstance(number, np.integer):
        raise MalformedAnswer(f"TURN is {number!r}, not an integer")
    return Turn(int(number), sent, time.monotonic())


def ended(call: Callable[..., object], *args: Any, **keywords: Any) -> str:
    """The gRPC status of a call that gets no whole answer; "" when it is answered.

    Raises RequestFailed when it is refused.
    """
    try:
        call(*args, **keywords)
    except ConnectionFailed as error:
        return error.status or error.kind
    return ""


def in_time(attempt: Callable[[], T | None], what: str) -> T:
    """The first outcome that is one; Inconclusive when the machine was too slow every time."""
    for _ in range(TRIES):
        if (seen := attempt()) is not None:
            return seen
    raise Inconclusive(f"the machine is too slow: {what}")


@dataclass(frozen=True, slots=True)
class CancelledInQueue:
    """A request whose deadline passes in the queue: the status of its call, and turns around it.

    ``status`` is "" when the call was answered.
    """

    status: str
    before: int
    after: int


def cancelled_in_queue(subject: Subject) -> CancelledInQueue:
    """A request with a short deadline behind one that takes long, over gRPC.

    Raises Inconclusive when the deadline did not pass while the request was waiting.
    """
    grpc = subject.grpc
    assert grpc is not None

    def attempt() -> CancelledInQueue | None:
        with ThreadPoolExecutor(1) as pool:
            busy = pool.submit(turn, subject, BUSY_MS, protocol=grpc)
            time.sleep(ARRIVAL_S)
            status = ""
            try:
                victim = turn(subject, 0, protocol=grpc, timeout=ARRIVAL_S, request_id="grp-12")
            except ConnectionFailed as error:
                status, over = error.status, time.monotonic()
            else:
                over = victim.answered
            before = busy.result()
        if not status and victim.number < before.number:
            return None
        if status and before.answered < over + ARRIVAL_S / 2:
            return None
        after = turn(subject, 0, protocol=grpc, request_id="grp-12 after")
        return CancelledInQueue(status, before.number, after.number)

    return in_time(attempt, "the model was done before a deadline passed in its queue")
