"""Requests that wait behind others: in which turn they are executed, and which never are.

The probe models SLOW and QUEUE execute one request at a time and number them.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from pytest_triton.criteria import Inconclusive
from pytest_triton.exactly import not_own
from pytest_triton.messages import one_value
from pytest_triton.probe.types import ConnectionFailed, MalformedAnswer, RequestFailed
from pytest_triton.probe_set import QUEUE, SLOW, VERSION
from pytest_triton.subject import Subject

T = TypeVar("T")
#: Milliseconds that the model is kept busy, and seconds for a request to reach its queue.
BUSY_MS, ARRIVAL_S = 600, 0.15
#: Tries on a machine that is too slow for a plan that lives of its timing.
TRIES = 3
#: Requests that come at once to a full queue, and those that wait to be overtaken.
CROWD, WAITING = 5, 3
_COUNT = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Turn:
    """The number that a model gave to one request; when it was sent and answered (seconds)."""

    number: int
    sent: float
    answered: float


def turn(
    subject: Subject, delay_ms: int, *, model: str = SLOW, protocol: Any = None, **keywords: Any
) -> Turn:
    """Ask a model to be busy for some time. Raises a ProbeError.

    MalformedAnswer also for an answer that says that it is another request's.
    """
    name = keywords.setdefault("request_id", f"turn {next(_COUNT)}")
    sent = time.monotonic()
    inputs = {"DELAY_MS": np.array([[delay_ms]], dtype=np.int32)}
    if protocol is None:
        protocol, keywords = subject.http, {"binary": False, **keywords}
    answer = protocol.infer(model, inputs, **keywords)
    if text := not_own(answer, name, model, VERSION):
        raise MalformedAnswer(text)
    number = one_value(answer, "TURN")
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


def crowd(subject: Subject) -> list[Turn | RequestFailed]:
    """What becomes of several requests behind one that takes long, where only one may wait.

    Raises Inconclusive when none is refused and they did not come while the model was busy.
    """
    subject.permit(CROWD + 1)

    def attempt() -> list[Turn | RequestFailed] | None:
        with ThreadPoolExecutor(CROWD + 1) as pool:
            busy = pool.submit(turn, subject, BUSY_MS, model=QUEUE)
            time.sleep(ARRIVAL_S)
            others = [pool.submit(_outcome, subject, 0, model=QUEUE) for _ in range(CROWD)]
            outcomes = [other.result() for other in others]
            first = busy.result()
        sent = [each.sent for each in outcomes if isinstance(each, Turn)]
        if len(sent) == CROWD and first.answered < max(sent) + ARRIVAL_S / 2:
            return None
        return [first, *outcomes]

    return in_time(attempt, "the model was done before its queue was full")


def _outcome(subject: Subject, delay_ms: int, **keywords: Any) -> Turn | RequestFailed:
    try:
        return turn(subject, delay_ms, **keywords)
    except RequestFailed as error:
        return error


def timed_out(
    subject: Subject, protocol: Any = None, *, model: str = SLOW, request_id: str = "sch-04"
) -> Turn | RequestFailed:
    """What becomes of a request with a time-out of 50 ms behind one that takes much longer.

    Raises Inconclusive when it did not have to wait so long.
    """
    subject.permit(2)

    def attempt() -> list[Turn | RequestFailed] | None:
        with ThreadPoolExecutor(1) as pool:
            busy = pool.submit(turn, subject, BUSY_MS, model=model, protocol=protocol)
            time.sleep(ARRIVAL_S)
            victim = _outcome(
                subject,
                0,
                model=model,
                protocol=protocol,
                parameters={"timeout": 50_000},
                request_id=request_id,
            )
            first = busy.result()
        if isinstance(victim, RequestFailed):
            return [victim]
        waited = victim.number > first.number and first.answered > victim.sent + 2 * ARRIVAL_S
        return [victim] if waited else None

    return in_time(attempt, "the model was done before a time-out passed in its queue")[0]


@dataclass(frozen=True, slots=True)
class Overtaking:
    """Turns of requests of priority 2 that wait, and of one of priority 1 that comes last."""

    low: tuple[int, ...]
    high: int


def overtaking(subject: Subject) -> Overtaking:
    """Requests of both priorities behind one that takes long.

    Raises Inconclusive when they did not all come while the model was busy.
    """
    subject.permit(WAITING + 1)

    def attempt() -> Overtaking | None:
        with ThreadPoolExecutor(WAITING + 1) as pool:
            busy = pool.submit(turn, subject, BUSY_MS)
            time.sleep(ARRIVAL_S)
            low = [
                pool.submit(
                    turn, subject, 0, parameters={"priority": 2}, request_id=f"sch-03 low {at}"
                )
                for at in range(WAITING)
            ]
            time.sleep(ARRIVAL_S)
            high = turn(subject, 0, parameters={"priority": 1}, request_id="sch-03")
            waited = [each.result() for each in low]
            first = busy.result()
        numbers = [each.number for each in (*waited, high)]
        if first.answered < high.sent + ARRIVAL_S / 2 or min(numbers) < first.number:
            return None
        return Overtaking(tuple(each.number for each in waited), high.number)

    return in_time(attempt, "the model was done before requests of both priorities waited")
