"""How much of the machine others use while we measure: CPU of everybody less our own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TREE_EVERY = 1.0


@dataclass(frozen=True, slots=True)
class CpuSample:
    """CPU seconds since boot (``busy``), of our processes (``own``), and the server's part of
    these (``served``), at monotonic ``at``."""

    at: float
    busy: float
    own: float
    served: float = 0.0


class CpuMeter:
    """Samples the machine and process trees. ``roots`` and the server's ``served`` are counted
    with their descendants, ``alone`` without."""

    def __init__(
        self, roots: Iterable[int], alone: Iterable[int] = (), served: Iterable[int] = ()
    ) -> None:
        self._roots, self._server = tuple(roots), tuple(served)
        self._alone = tuple(alone)
        self._seconds: dict[int, float] = {}
        self._served: set[int] = set()
        self._walked = float("-inf")
        self._tick = 1.0 / os.sysconf("SC_CLK_TCK")

    def sample(self) -> CpuSample:
        """One reading; about 0.1 ms, and a few ms when the trees are walked again."""
        now = time.monotonic()
        if now - self._walked >= _TREE_EVERY:
            self._walked = now
            self._served.update(pid for root in self._server for pid in descendants(root))
            ours = (pid for root in self._roots for pid in descendants(root))
            for pid in (*self._alone, *ours, *self._served):
                self._seconds.setdefault(pid, 0.0)
        for pid in self._seconds:
            seconds = process_seconds(pid)
            if seconds is not None:  # what has ended keeps its last value
                self._seconds[pid] = max(seconds, self._seconds[pid])
        served = sum(self._seconds[pid] for pid in self._served)
        return CpuSample(time.monotonic(), self._busy(), sum(self._seconds.values()), served)

    def _busy(self) -> float:
        # idle time is kept in microseconds, the others are counted in ticks by chance
        fields = cores = 0
        text = Path("/proc/stat").read_text(encoding="ascii")
        for line in text.splitlines():
            if line.startswith("cpu "):
                idle, iowait = line.split()[4:6]
                fields = int(idle) + int(iowait)
            elif line.startswith("cpu"):
                cores += 1
        return time.monotonic() * cores - fields * self._tick


def foreign(before: CpuSample, after: CpuSample) -> float:
    """CPU used by others, in cores (1.0 is one core fully used); never below 0."""
    wall = after.at - before.at
    if wall <= 0:
        return 0.0
    return max(0.0, ((after.busy - before.busy) - (after.own - before.own)) / wall)


def process_seconds(pid: int) -> float | None:
    """CPU seconds of a process, ended threads included; None when it is gone."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # Linux: the CPU clock of a process
    except OSError:
        return None


def descendants(root: int) -> list[int]:
    """A process and all below it; empty when it is gone."""
    found: list[int] = []
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        if pid in found:
            continue
        found.append(pid)
        try:
            for task in os.scandir(f"/proc/{pid}/task"):
                children = Path(task.path, "children").read_text(encoding="ascii")
                waiting += [int(child) for child in children.split()]
        except OSError:
            continue
    return found
