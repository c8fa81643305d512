"""The probe model STREAM: as many responses as are asked for, and clients that leave early."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from pytest_triton.criteria import Inconclusive
from pytest_triton.errors import SubjectFault
from pytest_triton.messages import StreamAnswer, one_value
from pytest_triton.probe.types import InferResult, MalformedAnswer, parse_json
from pytest_triton.probe_set import STREAM
from pytest_triton.subject import Subject

#: Streams that a client leaves: responses (more, where the client was too late), and
#: milliseconds between them.
LONG, PAUSE_MS = (40, 120), 50
_MARK = b"data: "
#: A stream that comes within this part of the time that the model takes came as one piece.
_PIECE = 0.25


def stream_inputs(text: str, count: int, delay_ms: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Inputs of STREAM for ``count`` responses that begin with ``text``."""
    return {
        "text_input": np.array([text.encode()], dtype=object),
        "COUNT": np.array([count], dtype=np.int32),
        "DELAY_MS": np.array([delay_ms], dtype=np.int32),
    }


def stream_flaw(
    answers: Sequence[StreamAnswer], text: str, count: int, *, marked: bool = True
) -> str | None:
    """What is wrong with the responses to one request of :func:`stream_inputs`; None: nothing.

    ``marked``: an empty final response was asked for.
    """
    if errors := [answer.error for answer in answers if answer.error]:
        return f"an error: {errors[0]}"
    full = [answer.result for answer in answers if answer.result.outputs]
    if len(full) != count:
        return f"{len(full)} responses, {count} were asked for"
    told = [(number(result, "INDEX"), one_value(result, "text_output")) for result in full]
    wanted = [(at, f"{text} {at}".encode()) for at in range(count)]
    if told != wanted:
        at = next(at for at in range(count) if told[at] != wanted[at])
        return f"response {at} is {told[at]}, expected {wanted[at]}"
    marks = [answer.final for answer in answers]
    if marks != [False] * count + [True] * marked:
        return f"triton_final_response is {marks}"
    return None


def number(result: InferResult, output: str) -> int:
    """The only value of an output of integers. Raises MalformedAnswer."""
    value = one_value(result, output)
    if not isinstance(value, np.integer):
        raise MalformedAnswer(f"{output} is {value!r}, not an integer")
    return int(value)


Open = Callable[[int], Iterator[object]]


def leaving_flaw(subject: Subject, stream: Open) -> str | None:
    """What is wrong with a stream that its client leaves; None: its request is cancelled.

    ``stream`` opens one of STREAM with so many responses, :data:`PAUSE_MS` apart. The model
    answers one request at a time, so that it tells only once it is done. A client that left
    when the model may have been at its end shows nothing: then the stream is longer. Late
    each time is the subject's fault where all responses come at once, and Inconclusive else.
    """
    for count in LONG:
        before, sent = _cancelled(subject), time.monotonic()
        leave_after_first(stream(count))
        took = time.monotonic() - sent
        if _cancelled(subject) > before:
            return None
        if took < count * PAUSE_MS / 1000 / 2:
            return "the model went on to its end"
    if text := held_back(subject, stream):
        return f"the model went on to its end{text}"
    raise Inconclusive(f"the client left after {took:.1f} s, when the stream may have been over")


def held_back(subject: Subject, stream: Open) -> str:
    """ ": …" if streams come as one piece, twice, though the model makes them slowly; else "".

    What lies between here and the model reads the whole answer first: a client cannot leave
    before it is made. Raises SubjectFault for a stream without a response.
    """
    count = LONG[0]
    for _ in range(2):
        started = time.monotonic()
        came = [time.monotonic() - started for _ in stream(count)]
        if not came:
            raise SubjectFault("the stream ends without a response")
        if len(came) != count or came[-1] - came[0] > _PIECE * (count - 1) * PAUSE_MS / 1000:
            return ""
    named = subject.http.request("GET", "/v2/health/live").gateway
    return (
        f": asked again, all {count} responses come within {came[-1] - came[0]:.2f} s after "
        f"{came[0]:.1f} s, and the model makes one every {PAUSE_MS} ms: something on the way "
        f"holds whole answers back, such as a gateway that buffers{f' ({named})' * bool(named)}"
    )


def _cancelled(subject: Subject) -> int:
    """Requests of STREAM so far that found themselves cancelled."""
    payload = {"text_input": "how many", "COUNT": 1, "DELAY_MS": 0}
    told = subject.http.generate(STREAM, payload).get("CANCELLED")
    if not isinstance(told, int):
        raise MalformedAnswer(f"CANCELLED is {told!r}, not an integer")
    return told


def leave_after_first(responses: Iterator[object]) -> None:
    """Take one response of a stream, then close it. SubjectFault when there is none."""
    try:
        if next(responses, None) is None:
            raise SubjectFault("the stream ends without a response")
    finally:
        close = getattr(responses, "close", None)
        if close is not None:
            close()


def events(body: bytes) -> list[dict[str, Any]]:
    """The server-sent events of a whole body, parsed. Raises MalformedAnswer."""
    *parts, rest = body.split(b"\n\n")
    if rest:
        raise MalformedAnswer(f"the stream ends inside an event: {rest[:80]!r}")
    found = []
    for part in parts:
        if not part.startswith(_MARK) or b"\n" in part:
            raise MalformedAnswer(f"no event 'data: …': {part[:80]!r}")
        document = parse_json(part[len(_MARK) :])
        if not isinstance(document, dict):
            raise MalformedAnswer(f"the data of an event is no JSON object: {part[:80]!r}")
        found.append(document)
    return found
