"""One job of the load worker: what came of it so far. Standard library only: see worker.py."""

from __future__ import annotations

import asyncio
import random
import struct
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

_MAX_TEXTS = 64


class Client(Protocol):
    """One connection that carries one request at a time."""

    busy: bool
    #: Monotonic seconds at which the request that is under way was sent.
    sent: float

    def connected(self) -> bool: ...
    async def connect(self) -> None: ...
    def send(self) -> None: ...
    def go(self, index: int, planned: float) -> None: ...
    def give_up(self, text: str) -> None: ...


class Feed(Protocol):
    """Says what a client that is free sends next."""

    def next(self, client: Client) -> tuple[int, float] | None: ...
    def left(self) -> int: ...
    def refused(self, text: str) -> None: ...
    def close(self, now: float) -> None: ...


class Run:
    """One job: what is sent, and what has come of it so far.

    A request belongs to the window by the time at which it ended in a closed loop, and by the
    time at which it was planned in an open one.
    """

    def __init__(self, job: dict[str, Any], requests: Sequence[bytes]) -> None:
        self.job = job
        self.requests = requests
        self.timeout: float = job["timeout_s"]
        self.max_bytes: int = job["max_bytes"]
        self.check_every: int = job["check_every"]
        self.open_loop: bool = job["open"]
        self.loop = asyncio.get_running_loop()
        self.feed: Feed
        self.measuring = False
        self.stopping = False
        self.opened = 0.0  # when the window opens, monotonic
        self.closed = 0.0
        self.ended: array[float] = array("d")  # seconds after the window opened
        self.latency: array[float] = array("d")  # microseconds
        self.late: array[float] = array("d")  # open loop: microseconds from plan to sending
        self.failed: array[float] = array("d")  # when requests failed, as ``ended``
        self.in_window = 0
        self.errors: Counter[str] = Counter()
        self.answered = 0
        #: Of the whole run, the warm-up included: good answers, and requests left without one.
        self.good = 0
        self.bad = 0
        #: Of HTTP: status, length of head, of everything, of the JSON part, and whether it closes.
        self.heads: dict[bytes, tuple[int, int, int, int, bool]] = {}
        self.verified: set[tuple[int, int, int]] = set()
        self.samples: dict[tuple[int, bytes], int] = {}
        self.sample_room: int = job["sample_bytes"]
        self.unsampled = 0
        self.finished = asyncio.Event()
        self.connections: list[Client] = []

    def order(self, name: object) -> Iterator[int]:
        """The requests in an order of its own, each once before any is sent again."""
        chance = random.Random(f"{self.job['seed']}/{name}")
        order = list(range(len(self.requests)))
        while True:
            chance.shuffle(order)
            yield from order

    def record(
        self, index: int, planned: float, sent: float, now: float, body: bytes, head: int
    ) -> bool:
        """A good answer, and whether it counts; ``head`` is the length of its JSON part.

        What is in flight when the window closes counts too, or a stall would go unseen;
        only throughput is of the window alone.
        """
        self.good += 1
        if not self._counts(planned):
            return False
        self.latency.append((now - planned) * 1e6)
        self.ended.append(now - self.opened)
        if self.open_loop:
            self.late.append((sent - planned) * 1e6)
        if self.measuring and now >= self.opened:
            self.in_window += 1
        self.answered += 1
        if self.answered % self.check_every == 0:
            self._sample(index, body, head)
        self._count_down(now)
        return True

    def fail(self, text: str, planned: float | None = None) -> bool:
        """A request that got no good answer, and whether it counts."""
        self.bad += 1
        now = time.monotonic()
        counts = self._counts(now if planned is None else planned)
        if counts:
            if text not in self.errors and len(self.errors) >= _MAX_TEXTS:
                text = f"{text.split(' ', 1)[0]} (further texts)"
            self.errors[text] += 1
            self.failed.append(now - self.opened)
            self._count_down(now)
        return counts

    def _counts(self, planned: float) -> bool:
        if self.open_loop:
            return bool(self.opened) and planned >= self.opened
        return self.measuring or self.stopping

    def _count_down(self, now: float) -> None:
        count = self.job["count"]
        if self.measuring and count and self.in_window + self.errors.total() >= count:
            self.close_window(now)

    def _sample(self, index: int, body: bytes, head: int) -> None:
        key = (index, struct.pack("<I", head) + body)
        if key in self.samples:
            self.samples[key] += 1
        elif len(body) <= self.sample_room:
            self.sample_room -= len(body)
            self.samples[key] = 1
        else:
            self.unsampled += 1

    def open_window(self, at: float) -> None:
        self.opened = at
        self.measuring = True

    def close_window(self, now: float) -> None:
        self.measuring = False
        self.stopping = True
        self.closed = now
        self.feed.close(now)
        self.loop.call_soon(self.settle)

    def settle(self) -> None:
        """End when the window is closed and nothing is under way or planned any more."""
        if self.stopping and not self.feed.left() and not any(c.busy for c in self.connections):
            self.finished.set()

    def idle(self) -> None:
        """A connection has stopped; the last one ends the run."""
        if self.stopping:
            self.settle()

    def sweep(self) -> None:
        """Break off requests that are past their deadline."""
        now = time.monotonic()
        for connection in self.connections:
            if connection.busy and now - connection.sent > self.timeout:
                connection.give_up(f"no whole answer within {self.timeout:g} s")
        if not self.finished.is_set():
            self.loop.call_later(min(0.1, self.timeout / 4), self.sweep)
