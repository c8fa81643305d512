"""What was asked of a server and what it answered, kept within bounds while a test runs.

Nothing is formatted here and no large body is kept alive: a call costs microseconds until
somebody wants to read it (:mod:`pytest_triton.probe.transcript_text`). Without a recording
nothing is kept at all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pytest_triton.probe.bounded import BODY, Body, Messages, bounded_pairs

CALLS = 500
"""Most calls that one transcript keeps."""
TOTAL = 4 << 20
"""Most bytes that one transcript keeps, over all of its calls."""
_OVERHEAD = 512


class Call:
    """One request and its answer, or what came in its place. A context manager around both."""

    protocol = ""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.seconds: float | None = None
        self.error = ""

    @property
    def weight(self) -> int:
        """Bytes that it keeps alive, about."""
        return _OVERHEAD + len(self.error)

    def __enter__(self) -> Call:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self.seconds = time.monotonic() - self.started
        if error is not None:
            self._failed(error)
        for transcript in _active:
            transcript.weigh(self)

    def _failed(self, error: BaseException) -> None:
        # Only what the transport says; what a caller makes of an answer is no part of it.
        if type(error).__name__ == "ConnectionFailed":
            self.error = str(error)[:BODY]
        elif isinstance(error, GeneratorExit):
            self.error = "given up before the end of the answer"


class HttpCall(Call):
    """An HTTP exchange. ``private`` are the headers that the user gave: never shown."""

    protocol = "http"

    def __init__(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        private: Mapping[str, str],
        timeout: float,
    ) -> None:
        super().__init__()
        self.method, self.url, self.private, self.timeout = method, url[:BODY], private, timeout
        self.headers = bounded_pairs(headers.items())
        self.has_body = body is not None
        self.sent = Body()
        if body is not None:
            self.sent.add(body)
        self.status: int | None = None
        self.answer_headers: list[tuple[str, str]] = []
        self.received = Body()

    @property
    def weight(self) -> int:
        pairs = (*self.headers, *self.answer_headers)
        size = sum(len(name) + len(value) + 128 for name, value in pairs)
        return super().weight + len(self.url) + size + self.sent.kept + self.received.kept

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of the answer has come."""
        self.status, self.answer_headers = status, bounded_pairs(headers.items())


class GrpcCall(Call):
    """A call over gRPC, unary or a stream."""

    protocol = "grpc"

    def __init__(
        self, url: str, rpc: str, metadata: Iterable[tuple[str, str]], secure: bool, timeout: float
    ) -> None:
        super().__init__()
        self.url, self.rpc, self.secure, self.timeout = url, rpc, secure, timeout
        self.private = dict(metadata)
        self.sent = Messages()
        self.received = Messages()
        self.status = ""
        self.details = ""

    @property
    def weight(self) -> int:
        return super().weight + len(self.details) + self.sent.kept + self.received.kept

    def sending(self, requests: Iterable[Any]) -> Iterator[Any]:
        """The requests of a stream, each kept as it leaves."""
        for request in requests:
            self.sent.add(request)
            yield request

    def _failed(self, error: BaseException) -> None:
        super()._failed(error)
        if hasattr(error, "code") and hasattr(error, "details"):  # grpc.RpcError
            self.status, self.details = error.code().name, str(error.details() or "")[:BODY]


class _Kept:
    """A transcript's own notes on one of its calls."""

    __slots__ = ("again", "case", "number", "thread", "weight")

    def __init__(self, weight: int, number: int, again: bool) -> None:
        self.weight, self.number, self.again = weight, number, again
        self.thread = threading.get_ident()
        self.case: str | None = None


class Transcript:
    """The latest calls of one test. Thread-safe; past its bounds the oldest unmarked ones go."""

    def __init__(self, *, calls: int = CALLS, total: int = TOTAL) -> None:
        self.started = time.monotonic()
        self.dropped = 0
        self._most, self._total = calls, total
        self._weight = self._number = 0
        self._kept: dict[Call, _Kept] = {}  # in the order of their use
        self._lock = threading.Lock()

    def add(self, call: Call, *, again: bool = False) -> None:
        """Keep a call, as the latest one; ``again``: it was made before, its answer is used."""
        with self._lock:
            before = self._kept.pop(call, None)
            self._number += 1
            kept = _Kept(call.weight, self._number, again)
            self._weight += kept.weight
            if before is not None:
                self._weight -= before.weight
                kept.case = before.case
            self._kept[call] = kept
            self._drop(call)

    def weigh(self, call: Call) -> None:
        """Its answer has come: what it weighs now."""
        with self._lock:
            if (kept := self._kept.get(call)) is not None:
                weight = call.weight
                self._weight += weight - kept.weight
                kept.weight = weight
                self._drop(call)

    @property
    def point(self) -> int:
        """Where it stands, for :meth:`mark`."""
        return self._number

    def mark(self, case: str, since: int = 0) -> None:
        """The latest call after a point is what a finding is about: it stays.

        A call that was made counts more than one whose answer is used again, one of this
        thread more than one of another. Marked calls take half of the bounds at most: the
        first findings tell the most.
        """
        with self._lock:
            me = threading.get_ident()
            latest = max(
                self._kept.values(),
                key=lambda kept: (
                    kept.number > since,
                    not kept.again,
                    kept.thread == me,
                    kept.number,
                ),
                default=None,
            )
            if latest is None or latest.case is not None:
                return
            marked = [kept for kept in self._kept.values() if kept.case is not None]
            weight = sum(kept.weight for kept in marked) + latest.weight
            if len(marked) < self._most // 2 and (not marked or weight <= self._total // 2):
                latest.case = case

    def calls(self) -> list[tuple[Call, str | None]]:
        """Every call with the case that marked it, in the order in which they began."""
        with self._lock:
            pairs = [(call, kept.case) for call, kept in self._kept.items()]
        return sorted(pairs, key=lambda pair: pair[0].started)

    def _drop(self, latest: Call) -> None:
        while self._weight > self._total or len(self._kept) > self._most:
            loose = (call for call, kept in self._kept.items() if kept.case is None)
            oldest = next((call for call in loose if call is not latest), None)
            if oldest is None:
                return
            self._weight -= self._kept.pop(oldest).weight
            self.dropped += 1


_active: tuple[Transcript, ...] = ()
_lock = threading.Lock()
_aside = threading.local()


@contextmanager
def recording(transcript: Transcript) -> Iterator[Transcript]:
    """Keep what every probe of this process does, in whichever thread, until the end."""
    global _active
    with _lock:
        _active = (*_active, transcript)
    try:
        yield transcript
    finally:
        with _lock:
            _active = tuple(one for one in _active if one is not transcript)


@contextmanager
def unrecorded() -> Iterator[None]:
    """Keep nothing of what this thread asks: the same request hundreds of times."""
    _aside.silent = True
    try:
        yield
    finally:
        _aside.silent = False


def record(call: Call) -> Call:
    """Put a call that begins into every transcript that is being recorded."""
    if getattr(_aside, "silent", False):
        return call
    for transcript in _active:
        transcript.add(call)
    return call


def recorded() -> bool:
    """Whether anybody records; a call that nobody keeps need not be made."""
    return bool(_active)


def recall(calls: Iterable[Call]) -> None:
    """An answer that was asked for before is used again: its calls belong to this test too."""
    for call in calls:
        for transcript in _active:
            transcript.add(call, again=True)
