"""What the clients send and when: at once again, or by a plan. Standard library only.

asyncio's epoll waits in whole milliseconds, rounded up, which is late by half of one on average.
``PreciseSelector`` waits with select(2) on the epoll descriptor: microseconds.
"""

from __future__ import annotations

import asyncio
import select
import selectors
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from pytest_triton.load.running import Client, Run


class PreciseSelector(selectors.EpollSelector):
    """epoll whose timeouts are not rounded to milliseconds."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and 0 < timeout < 0.1:
            select.select([self.fileno()], [], [], timeout)
            timeout = 0
        return super().select(timeout)


class AtOnce:
    """A closed loop: whoever has its answer asks again."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._orders: dict[int, Iterator[int]] = {}

    def next(self, client: Client) -> tuple[int, float] | None:
        """The next request of this client, planned for now; None when the window is closed."""
        if self._run.stopping:
            return None
        key = id(client)
        if key not in self._orders:
            # every client has an order of its own, and together they spread over the inputs
            number = self._run.job["first"] + len(self._orders)
            self._orders[key] = self._run.order(number)
        return next(self._orders[key]), 0.0

    def left(self) -> int:
        return 0

    def refused(self, text: str) -> None:
        """A client found no connection."""
        self._run.fail(text)

    def close(self, now: float) -> None:
        """Nothing is planned."""


class Paced:
    """An open loop: every request goes out at its planned time, on a connection that is free.

    Where none is free another one is opened, up to a limit; what has to wait keeps its planned
    time, and its latency counts from there (no coordinated omission).
    """

    def __init__(
        self, run: Run, start: float, times: array[float], make: Callable[[Run, int], Client]
    ) -> None:
        self._run, self._start, self._times, self._make = run, start, times, make
        self._at = 0
        self._most: int = run.job["connections"]
        self._order = run.order(run.job["first"])
        # in order, and each once: one that connects again may say so twice
        self._free: dict[Client, None] = {}
        self._waiting: deque[tuple[int, float]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._until = float("inf")
        #: Microseconds by which the plan was looked at too late: the client's own fault.
        self.slept: array[float] = array("d")

    def begin(self) -> None:
        """Wait for the first planned time."""
        self._again()

    def _again(self) -> None:
        if self._at < len(self._times):
            self._run.loop.call_at(self._start + self._times[self._at], self._tick)
        else:
            self._run.settle()

    def _tick(self) -> None:
        now = time.monotonic()
        run, times, start = self._run, self._times, self._start
        while self._at < len(times) and (due := start + times[self._at]) <= now:
            if due >= self._until:
                self._at = len(times)
                break
            self._at += 1
            if run.opened and due >= run.opened:
                self.slept.append((now - due) * 1e6)
            self._dispatch(next(self._order), due)
        self._again()

    def _dispatch(self, index: int, due: float) -> None:
        client = self._free.popitem()[0] if self._free else None
        if client is not None and client.connected():
            client.go(index, due)
            return
        self._waiting.append((index, due))
        if client is not None:  # closed by the server meanwhile: it connects again
            client.send()
            return
        if len(self._opening) < len(self._waiting):
            self._open()

    def _open(self) -> None:
        run = self._run
        if len(run.connections) >= self._most:
            return
        client = self._make(run, len(run.connections))
        run.connections.append(client)
        task = run.loop.create_task(self._connect(client))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, client: Client) -> None:
        try:
            await client.connect()
        except (OSError, asyncio.TimeoutError) as error:
            self._run.connections.remove(client)
            self.refused(f"cannot connect: {str(error) or 'timeout'}")
            return
        client.send()

    def next(self, client: Client) -> tuple[int, float] | None:
        """What waits longest; None: nothing waits, the client is free."""
        now = time.monotonic()
        while self._waiting:
            index, due = self._waiting.popleft()
            if now - due <= self._run.timeout:
                return index, due
            self._run.fail(f"not sent within {self._run.timeout:g} s of its planned time", due)
        self._free[client] = None
        return None

    def left(self) -> int:
        """Requests that are planned for the window and were not sent yet."""
        if self._waiting and time.monotonic() - self._waiting[0][1] > self._run.timeout:
            self._give_up()
        more = self._at < len(self._times) and self._start + self._times[self._at] < self._until
        return len(self._waiting) + more

    def refused(self, text: str) -> None:
        """No connection is to be had: what waits for one fails, as it would for any client."""
        while self._waiting:
            _, due = self._waiting.popleft()
            self._run.fail(text, due)
        self._run.settle()

    def _give_up(self) -> None:
        now = time.monotonic()
        while self._waiting and now - self._waiting[0][1] > self._run.timeout:
            _, due = self._waiting.popleft()
            self._run.fail(f"not sent within {self._run.timeout:g} s of its planned time", due)

    def close(self, now: float) -> None:
        """Nothing that is planned for later goes out; what is late does."""
        self._until = now


class Metronome:
    """A regular beat: how late it is says how late anything in this process would be."""

    #: Seconds, in an open and in a closed loop, where a beat is a wake-up more.
    EVERY = (0.005, 0.02)

    def __init__(self, run: Run) -> None:
        self._every = self.EVERY[0] if run.open_loop else self.EVERY[1]
        self._run = run
        self._due = 0.0
        self.at: array[float] = array("d")  # seconds after the window opened
        self.late: array[float] = array("d")  # microseconds

    def begin(self) -> None:
        """From now until the run is finished."""
        self._due = time.monotonic() + self._every
        self._run.loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        now = time.monotonic()
        if self._run.opened:
            self.at.append(now - self._run.opened)
            self.late.append((now - self._due) * 1e6)
        # beats that were missed are one late beat
        self._due = max(self._due + self._every, now)
        if not self._run.finished.is_set():
            self._run.loop.call_at(self._due, self._beat)


async def play(
    run: Run, feed: AtOnce | Paced, start: float, tell: Callable[[dict[str, float]], None],
    metronome: Metronome | None = None,
) -> None:  # fmt: skip
    """A run from ``start`` (monotonic) on: its warm-up, its window, and what is under way then.

    Connections are there. ``tell`` hears four times a second how far it is.
    """
    job = run.job
    opened = start + job["warmup_s"]
    if isinstance(feed, Paced):
        # what belongs to the window is known from its plan, before the window opens
        run.opened = opened
    await asyncio.sleep(max(0.0, start - time.monotonic()))
    run.sweep()
    if metronome is not None:
        metronome.begin()
    for connection in run.connections:
        connection.send()
    if isinstance(feed, Paced):
        feed.begin()
    await asyncio.sleep(max(0.0, opened - time.monotonic()))
    run.open_window(opened if run.open_loop else max(opened, time.monotonic()))
    limit = run.opened + (job["duration_s"] or job["max_s"])
    while run.measuring:
        left = limit - time.monotonic()
        if left <= 0:
            run.close_window(limit if run.open_loop else time.monotonic())
            break
        try:
            await asyncio.wait_for(run.finished.wait(), min(left, 0.25))
        except asyncio.TimeoutError:
            tell({"s": time.monotonic() - run.opened, "n": run.in_window,
                  "errors": run.errors.total()})  # fmt: skip
    while not run.finished.is_set():
        try:
            await asyncio.wait_for(run.finished.wait(), 0.25)
        except asyncio.TimeoutError:
            run.settle()


def run(main: Any, *, precise: bool) -> Any:
    """``asyncio.run``, with precise timers where something is planned: they cost a system call
    each time (its loop_factory is of Python 3.12)."""
    loop = asyncio.SelectorEventLoop(PreciseSelector() if precise else None)
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
