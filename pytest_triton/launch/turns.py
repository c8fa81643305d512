"""Who may use the shared server now: everybody together, or one test process alone.

Between processes of one pytest-xdist run, by ``flock`` on files in the directory that they
share; what a killed process held is free at once. A test process that is alone never waits.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_triton.errors import ToolError
from pytest_triton.launch.shared import shared_directory

#: Seconds that one process waits for the others.
TIMEOUT = 600.0
_STEP = 0.005


class Turns:
    """The turns of one process; ``shared`` is what the controller says (None: nobody else)."""

    def __init__(self, shared: Mapping[str, Any] | None, *, timeout: float = TIMEOUT) -> None:
        self._shared = shared
        self._timeout = timeout
        self._mode = fcntl.LOCK_UN
        self._files: tuple[int, int] | None = None

    @property
    def shared(self) -> bool:
        """Whether other processes may use the server at all."""
        return self._shared is not None

    @contextmanager
    def turn(self, *, exclusive: bool = False) -> Iterator[None]:
        """Use the server in this block; ``exclusive``: no other process does meanwhile.

        May be nested: inside a shared turn an exclusive one waits for the others, and the
        shared one is taken up again afterwards. Raises ToolError past the deadline.
        """
        if self._shared is None:
            yield
            return
        before = self._mode
        wanted = fcntl.LOCK_EX if exclusive or before == fcntl.LOCK_EX else fcntl.LOCK_SH
        self._take(wanted)
        try:
            yield
        finally:
            self._take(before)

    def _take(self, mode: int) -> None:
        if mode == self._mode:
            return
        queue, room = self._opened()
        # Two that hold the room and both want it alone would wait for each other.
        fcntl.flock(room, fcntl.LOCK_UN)
        self._mode = fcntl.LOCK_UN
        if mode == fcntl.LOCK_UN:
            return
        deadline = time.monotonic() + self._timeout
        # Who waits at the door keeps later ones behind: nobody waits for ever.
        self._wait(queue, fcntl.LOCK_EX, deadline)
        try:
            self._wait(room, mode, deadline)
        finally:
            fcntl.flock(queue, fcntl.LOCK_UN)
        self._mode = mode

    def _wait(self, file: int, mode: int, deadline: float) -> None:
        while True:
            try:
                fcntl.flock(file, mode | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ToolError(
                        f"another test process has kept the shared server for {self._timeout:g} s",
                        "look at what the other workers of pytest-xdist do, or run with -n0",
                    ) from None
                time.sleep(_STEP)

    def _opened(self) -> tuple[int, int]:
        if self._files is None:
            assert self._shared is not None
            directory = shared_directory(self._shared)
            self._files = (_open(directory / "queue.lock"), _open(directory / "room.lock"))
        return self._files

    def close(self) -> None:
        """Let go of everything."""
        for file in self._files or ():
            os.close(file)
        self._files, self._mode = None, fcntl.LOCK_UN


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
