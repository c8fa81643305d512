"""Continuous batching: streams join and leave between two steps.

A stream waits for others while their prompts are taken in, and for a slot when all are taken. One
thread decodes. While a GPU computes a step, the thread sends the tokens of the step before.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

#: Seconds between two questions whether a client has gone: each costs a message to the server.
_ASK = 0.05
#: Tokens of prompts, filled up to the longest, that are taken in together at most.
_TOGETHER = 2048


@dataclass
class Stream:
    """One request, and the ways in which it is answered.

    ``send(token, last)``; ``end()`` where nothing more is sent; ``fail(reason)``; ``gone()``
    asks whether the client has left.
    """

    prompt: list[int]
    count: int
    #: Tokens that end the stream, after being sent.
    stops: frozenset[int]
    send: Callable[[int, bool], None]
    end: Callable[[], None]
    fail: Callable[[str], None]
    gone: Callable[[], bool]
    came: float = field(default_factory=time.monotonic)
    made: int = 0
    asked: float = 0.0
    over: bool = False


class Counts:
    """What the scheduler tells of itself; by default nobody listens."""

    def step(self, rows: int) -> None:
        """A step of so many streams has been decoded."""

    def first(self, seconds: float) -> None:
        """A first token left, so long after its request came."""

    def token(self) -> None:
        """A token left."""

    def cancelled(self) -> None:
        """A client had gone before its last token."""


class Scheduler:
    """Decodes what is submitted until it is closed."""

    def __init__(self, decoder: Any, counts: Counts) -> None:
        self._decoder, self._counts = decoder, counts
        self._waiting: deque[Stream] = deque()
        self._active: list[Stream] = []
        self._more = threading.Condition()
        self._closed = False
        #: Tokens that are to be sent, oldest first.
        self._ready: list[tuple[Stream, int]] = []
        #: Why nothing can be decoded any more.
        self._broken = ""
        self._thread = threading.Thread(target=self._run, name="decoding", daemon=True)
        self._thread.start()

    def submit(self, stream: Stream) -> None:
        """Queue a stream; it is answered from the decoding thread."""
        with self._more:
            if not (refused := self._broken or ("the model is being unloaded" * self._closed)):
                self._waiting.append(stream)
                self._more.notify()
        if refused:
            stream.fail(refused)

    def close(self) -> None:
        """End the thread; whoever still waits is told."""
        with self._more:
            self._closed = True
            self._more.notify()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        try:
            self._decoder.here()
            self._decode()
            text = "the model is being unloaded"
        except Exception as error:  # memory of a GPU, for one: nobody may wait for ever
            text = f"decoding failed: {type(error).__name__}: {error}"
        with self._more:
            self._broken = text
            waiting = list(self._waiting)
            self._waiting.clear()
        # Of those in _ready, some are in no slot any more.
        for stream in [*self._active, *(stream for stream, _ in self._ready), *waiting]:
            self._fail(stream, text)

    def _decode(self) -> None:
        while True:
            self._leave()
            if self._waiting:  # what is ready does not wait for the prompts of others
                self._deliver()
            self._admit()
            if self._closed:
                self._deliver()
                return
            if self._active:
                self._decoder.launch(len(self._active))
            self._deliver()
            if active := list(self._active):
                tokens = self._decoder.collect()
                self._counts.step(len(active))
                self._ready = list(zip(active, tokens, strict=True))
                for stream, token in self._ready:
                    if self._made(stream, token):
                        self._remove(stream)
                if not self._decoder.ahead:
                    self._deliver()
            else:
                with self._more:
                    self._more.wait_for(lambda: self._waiting or self._closed)

    def _made(self, stream: Stream, token: int) -> bool:
        """Count a token; True when it is the stream's last."""
        stream.made += 1
        return stream.made >= stream.count or token in stream.stops

    def _admit(self) -> None:
        """Fill the free slots with those who wait. Their first tokens leave at once."""
        while not self._closed and (came := self._next()):
            slot = len(self._active) - len(came)
            try:
                tokens = self._decoder.prefill(slot, [stream.prompt for stream in came])
            except RuntimeError as error:  # too little memory: what is decoded goes on
                for stream in reversed(came):
                    self._remove(stream)
                    self._fail(stream, f"the prompt was not taken in: {error}")
                continue
            for stream, token in zip(came, tokens, strict=True):
                if self._made(stream, token):
                    self._remove(stream)
                stream.asked = time.monotonic()
                self._counts.first(stream.asked - stream.came)
                self._ready.append((stream, token))
            self._deliver()

    def _next(self) -> list[Stream]:
        """Those who come in together: as many as there are slots, and a bounded forward."""
        came: list[Stream] = []
        while len(self._active) < self._decoder.slots:
            with self._more:
                if not self._waiting or self._closed:
                    break
                longest = max(len(s.prompt) for s in (*came, self._waiting[0]))
                if came and longest * (len(came) + 1) > _TOGETHER:
                    break
                stream = self._waiting.popleft()
                self._active.append(stream)  # from here on it is told when decoding fails
            if stream.gone():
                self._forget(stream)
            else:
                came.append(stream)
        return came

    def _deliver(self) -> None:
        while self._ready:
            stream, token = self._ready[0]
            if not stream.over:
                # In no slot any more and not over: this is its last.
                last = stream not in self._active
                self._counts.token()  # first: the last token takes the sums along
                try:
                    stream.send(token, last)
                    stream.over = last
                except Exception as error:  # its slot is freed between two steps
                    self._fail(stream, f"the token could not be sent: {error}")
            self._ready.pop(0)

    def _fail(self, stream: Stream, reason: str) -> None:
        if not stream.over:
            stream.over = True
            with suppress(Exception):  # its client or the server is not there any more
                stream.fail(reason)

    def _leave(self) -> None:
        """Free the slots of clients that have gone."""
        now = time.monotonic()
        for stream in list(self._active):
            if stream.over:
                self._remove(stream)
            elif now - stream.asked >= _ASK:
                stream.asked = now
                if stream.gone():
                    self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        self._remove(stream)
        stream.over = True
        self._counts.cancelled()
        with suppress(Exception):  # one that left does not end the others
            stream.end()

    def _remove(self, stream: Stream) -> None:
        slot, last = self._active.index(stream), len(self._active) - 1
        self._decoder.free(slot, last)
        self._active[slot] = self._active[last]
        self._active.pop()
