"""One request in flight and a bounded rate, for a server that others use."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path
from types import TracebackType

#: Requests a second on an endpoint that did not allow load.
GENTLE_RATE = 20.0


class Pace:
    """A context manager around each request; shared by probes, and by processes with ``file``.

    Entering waits until no other request is in flight and 1/``rate`` seconds have passed
    since the last one began.
    """

    def __init__(self, rate: float = GENTLE_RATE, *, file: Path | None = None) -> None:
        self._interval = 1.0 / rate
        self._turn = threading.RLock()
        self._depth = 0
        self._next = 0.0
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600) if file else -1

    def __enter__(self) -> Pace:
        self._turn.acquire()
        self._depth += 1
        if self._depth > 1:
            return self
        try:
            self._wait()
        except BaseException:  # Ctrl-C while waiting: nobody else must wait for us
            self._release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release()

    def _wait(self) -> None:
        if self._descriptor >= 0:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            # CLOCK_MONOTONIC is one clock for all processes of the machine.
            told = os.pread(self._descriptor, 32, 0).decode() or "0"
            self._next = float(told)
        time.sleep(max(0.0, min(self._next - time.monotonic(), self._interval)))
        self._next = time.monotonic() + self._interval

    def _release(self) -> None:
        self._depth -= 1
        if not self._depth and self._descriptor >= 0:
            os.pwrite(self._descriptor, f"{self._next:<32.6f}".encode(), 0)
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self._turn.release()

    def close(self) -> None:
        """Give the file back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
