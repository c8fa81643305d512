"""Continuous batching: streams join and leave between two steps, and none waits for another.

One thread decodes. While a GPU computes a step, the thread sends the tokens of the step before.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

#: Seconds between two questions whether a client has gone: each costs a message to the server.
_ASK = 0.05


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
            self._decode()
            text = "the model is being unloaded"
        except Exception as error:  # memory of a GPU, for one: nobody may wait for ever
            text = f"decoding failed: {type(error).__name__}: {error}"
        with self._more:
            self._broken = text
            left = [*self._active, *self._waiting]
            self._waiting.clear()
        for stream in left:
            if not stream.over:
                stream.fail(text)

    def _decode(self) -> None:
        ready: list[tuple[Stream, int]] = []
        while True:
            self._leave()
            self._admit()
            if self._closed:
                return
            if self._active:
                self._decoder.launch(len(self._active))
            self._deliver(ready)
            ready = []
            if active := list(self._active):
                tokens = self._decoder.collect()
                self._counts.step(len(active))
                ready = list(zip(active, tokens, strict=True))
                for stream, token in ready:
                    if self._made(stream, token):
                        self._remove(stream)
                if not self._decoder.ahead:
                    self._deliver(ready)
                    ready = []
            else:
                with self._more:
                    self._more.wait_for(lambda: self._waiting or self._closed)

    def _made(self, stream: Stream, token: int) -> bool:
        """Count a token; True when it is the stream's last."""
        stream.made += 1
        return stream.made >= stream.count or token in stream.stops

    def _admit(self) -> None:
        """Fill the free slots with those who wait. Their first tokens leave at once."""
        came: list[Stream] = []
        while len(self._active) < self._decoder.slots:
            with self._more:
                if not self._waiting or self._closed:
                    break
                stream = self._waiting.popleft()
                self._active.append(stream)  # from here on it is told when decoding fails
            if stream.gone():
                self._forget(stream)
            else:
                came.append(stream)
        if not came or self._closed:
            return
        slot = len(self._active) - len(came)
        tokens = self._decoder.prefill(slot, [stream.prompt for stream in came])
        for stream, token in zip(came, tokens, strict=True):
            if self._made(stream, token):
                self._remove(stream)
            stream.asked = time.monotonic()
            self._counts.first(stream.asked - stream.came)
            self._deliver([(stream, token)])

    def _deliver(self, ready: list[tuple[Stream, int]]) -> None:
        for stream, token in ready:
            if stream.over:
                continue
            # Removed from the slots and not over: this is its last.
            stream.over = stream not in self._active
            self._counts.token()  # first: the last token takes the sums along
            stream.send(token, stream.over)

    def _leave(self) -> None:
        """Free the slots of clients that have gone."""
        now = time.monotonic()
        for stream in list(self._active):
            if now - stream.asked >= _ASK:
                stream.asked = now
                if stream.gone():
                    self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        self._remove(stream)
        stream.over = True
        self._counts.cancelled()
        stream.end()

    def _remove(self, stream: Stream) -> None:
        slot, last = self._active.index(stream), len(self._active) - 1
        self._decoder.free(slot, last)
        self._active[slot] = self._active[last]
        self._active.pop()
