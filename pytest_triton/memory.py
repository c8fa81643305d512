"""Whether an unload gives memory back: the server's resident memory over many cycles."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypeVar

from pytest_triton.factory import Disposable
from pytest_triton.launch.supervisor import descendants
from pytest_triton.load.stats import student_quantile
from pytest_triton.probe.http import wait_until
from pytest_triton.telling import UNLOAD_TIMEOUT, states

#: Cycles of load, inference and unload between two looks.
CYCLES = 3
#: Growths (differences of two looks) after which a verdict is tried, and the chance of a wrong
#: one, shared among these looks.
LOOKS, ERROR = (3, 6, 9), 0.01
#: A leak is growth for every cycle by more than this share of what a load takes: a server that
#: keeps a twentieth has a whole model too many after twenty reloads. Healthy servers keep some
#: 100 kB for each load (2.39, 2.48 and 2.51), which is what the floor (bytes) is for.
SHARE, FLOOR = 0.05, 1 << 20
#: Seconds for all of it; a model that takes longer to load gets an inconclusive verdict.
PATIENCE = 120.0
#: Seconds between two looks at memory that is still falling.
_STEP = 0.05

Verdict = Literal["pass", "fail", "inconclusive"]
T = TypeVar("T")


@dataclass(slots=True)
class Growth:
    """What was measured, in bytes."""

    #: Resident memory with the model unloaded, one for each look.
    unloaded: list[int] = field(default_factory=list)
    loaded: int = 0
    verdict: Verdict = "inconclusive"

    @property
    def footprint(self) -> int:
        """What one load takes."""
        return max(0, self.loaded - self.unloaded[0])

    @property
    def budget(self) -> float:
        """Growth for each cycle that is no leak."""
        return max(FLOOR, SHARE * self.footprint)

    @property
    def per_cycle(self) -> list[float]:
        """Growth for each cycle, from look to look."""
        return [(after - before) / CYCLES for before, after in pairwise(self.unloaded)]


def interval(values: Sequence[float], error: float) -> tuple[float, float]:
    """Student's t interval of a mean; without bounds for fewer than two values."""
    if len(values) < 2:
        return -math.inf, math.inf
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((each - mean) ** 2 for each in values) / (len(values) - 1))
    half = student_quantile(1 - error / 2, len(values) - 1) * spread / math.sqrt(len(values))
    return mean - half, mean + half


def verdict(values: Sequence[float], budget: float) -> Verdict:
    """Whether growth for each cycle stays below the budget, as far as it can be told."""
    low, high = interval(values, ERROR / len(LOOKS))
    return "pass" if high <= budget else "fail" if low > budget else "inconclusive"


def measure(disposable: Disposable) -> Growth:
    """Load, ask and unload the subject's model, again and again; it is loaded afterwards."""
    subject, model = disposable.subject, disposable.model
    http, limit = subject.http, subject.settings.boot_timeout
    case = subject.case(model)
    until = time.monotonic() + PATIENCE
    growth = Growth()

    def cycle() -> None:
        http.load(model, timeout=limit)
        subject.answer(model, case)

    def unload() -> None:
        http.unload(model)
        wait_until(lambda: not http.model_ready(model), timeout=UNLOAD_TIMEOUT)

    def look() -> int:
        wait_until(lambda: "UNLOADING" not in states(http, model).values(), timeout=UNLOAD_TIMEOUT)
        return settled(subject.deployment.pid)

    try:
        while len(growth.per_cycle) < max(LOOKS) and time.monotonic() < until:
            for _ in range(CYCLES):  # the first round only warms allocators and caches up
                cycle()
                if growth.unloaded and not growth.loaded:
                    growth.loaded = resident(process_tree(subject.deployment.pid))
                unload()
            growth.unloaded.append(look())
            if len(growth.per_cycle) in LOOKS:
                growth.verdict = verdict(growth.per_cycle, growth.budget)
                if growth.verdict != "inconclusive":
                    break
    finally:
        http.load(model, timeout=limit)
    return growth


def process_tree(pid: int | None) -> tuple[int, ...]:
    """A server of ours with all that belongs to it: what its supervisor started.

    Processes that a model leaves behind become the supervisor's children.
    """
    assert pid is not None
    root = _parent(pid)
    return (pid, *descendants(pid)) if root in (0, 1, os.getpid()) else (root, *descendants(root))


def _parent(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[1])


def resident(pids: Sequence[int]) -> int:
    """Resident memory of processes together, in bytes; those that have ended count nothing.

    Pages that they share count once: stubs are forks of one process that has torch loaded.
    Pages of files (libraries) do not count: what one has of them depends on the neighbours.
    """
    return sum(sum(proportional(pid)) for pid in pids)


def proportional(pid: int) -> tuple[int, int]:
    """A process's part of anonymous and of shared memory, in bytes; zeros when it has ended."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            fields = {line.split(":")[0]: line.split()[1] for line in file if "Pss" in line}
        return 1024 * int(fields["Pss_Anon"]), 1024 * int(fields["Pss_Shmem"])
    except (OSError, ValueError, KeyError, IndexError):
        pass
    try:  # an older kernel, or a process that is not dumpable: its own pages, without shared ones
        text = Path(f"/proc/{pid}/statm").read_text("ascii").split()
        return (int(text[1]) - int(text[2])) * os.sysconf("SC_PAGE_SIZE"), 0
    except (OSError, ValueError, IndexError):
        return 0, 0


def settled(pid: int | None) -> int:
    """Resident memory of a server once it no longer falls: what was ended is gone a bit later."""
    return no_longer_falling(lambda: resident(process_tree(pid)), int)


def no_longer_falling(read: Callable[[], T], size: Callable[[T], int]) -> T:
    """The first of repeated readings whose size is not below that of the one before."""
    before = read()
    for _ in range(20):
        time.sleep(_STEP)
        now = read()
        if size(now) >= size(before):
            return now
        before = now
    return before
