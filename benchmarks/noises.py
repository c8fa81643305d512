"""Foreign load that keeps a quarter of the machine busy, and how much it really used.

Used by recording.py.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from pytest_triton.load.cpu import descendants

#: PR_SET_PDEATHSIG: noise never outlives the benchmark.
_MORTAL = "import ctypes\nctypes.CDLL(None).prctl(1, 9)\n"
_SPIN = """
import random, sys, time
on, off, jitter = map(float, sys.argv[1:4])
while True:
    end = time.monotonic() + on * random.uniform(1 - jitter, 1 + jitter)
    while time.monotonic() < end: pass
    time.sleep(off * random.uniform(1 - jitter, 1 + jitter))
"""
# aligned to the clock, so that every process of it is busy at the same time
_PERIODIC = """
import sys, time
on, period = map(float, sys.argv[1:3])
while True:
    time.sleep(period - time.monotonic() % period)
    end = time.monotonic() + on
    while time.monotonic() < end: pass
"""
_MEMORY = """
import sys, time
import numpy as np
one, two = np.ones(8 << 20), np.empty(8 << 20)
while True:
    begun = time.monotonic()
    for _ in range(4): np.copyto(two, one)
    time.sleep(time.monotonic() - begun)
"""
_COMPILER = """
import subprocess, sys, time
while True:
    for text in sys.argv[1:]:
        begun = time.monotonic()
        command = ["g++", "-O2", "-x", "c++", "-", "-c", "-o", "/dev/null"]
        subprocess.run(command, input=text.encode(), stderr=subprocess.DEVNULL)
        time.sleep(time.monotonic() - begun)
"""
_SOURCES = (
    '#include <regex>\nint f(const char*s){return std::regex_match(s, std::regex("a+b*"));}\n',
    "#include <map>\n#include <algorithm>\n#include <string>\n#include <vector>\n"
    "int f(std::map<std::string,std::vector<int>>&m){int n=0;for(auto&p:m){std::sort("
    "p.second.begin(),p.second.end());n+=p.second[0];}return n;}\n",
    "#include <iostream>\nint f(){std::cout << 1; return 0;}\n",
)


@contextlib.contextmanager
def noise(name: str, *, first: bool = False) -> Iterator[tuple[int, ...]]:
    """Foreign load while the block runs: a quarter of the machine, whatever its size."""
    cores = os.cpu_count() or 1
    half = max(1, cores // 2)  # processes that are busy half of their time
    programs: dict[str, tuple[str, tuple[str, ...], int]] = {
        "compiler": (_COMPILER, _SOURCES[:1], half),
        "bursts": (_SPIN, ("0.4", "0.4", "0.7"), half),
        "compiler, two files": (_COMPILER, _SOURCES[1:], half),
        "short bursts": (_SPIN, ("0.03", "0.03", "0.5"), half),
        "memory": (_MEMORY, (), half),
        "periodic": (_PERIODIC, ("0.3", "1.2"), cores),
    }
    if name == "idle":
        yield ()
        return
    text, arguments, count = programs[name]
    running = [
        subprocess.Popen([sys.executable, "-c", _MORTAL + text, *arguments], start_new_session=True)
        for _ in range(count)
    ]
    pids = tuple(process.pid for process in running)
    try:
        if first:
            prefer(pids)
        yield pids
    finally:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)  # with the compiler below it
            process.wait()


# --- a machine that others use: nobody else runs while we want to, and foreign load is ours

_RR_SLICE = Path("/proc/sys/kernel/sched_rr_timeslice_ms")


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Round robin with slices as short as those of ordinary processes, while the block runs."""
    before = _RR_SLICE.read_text("ascii")
    _RR_SLICE.write_text("3", "ascii")
    try:
        yield
    finally:
        _RR_SLICE.write_text(before, "ascii")


def prefer(pids: tuple[int, ...]) -> None:
    """These processes, and what they start, run before everybody else's (real-time class) and
    take turns with each other: our noise disturbs our server, and others do not. Needs root."""
    for pid in [below for root in pids for below in descendants(root)]:
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(int(task), os.SCHED_RR, os.sched_param(1))


def spent(pids: tuple[int, ...]) -> float:
    """CPU seconds of processes and of everything below them, ended children included."""
    tick, total = os.sysconf("SC_CLK_TCK"), 0
    for pid in [below for root in pids for below in descendants(root)]:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
            total += sum(map(int, fields[11:15]))
    return total / tick


class Sampler:
    """CPU of the noise, every quarter of a second, where busy less own would count others."""

    def __init__(self, pids: tuple[int, ...]) -> None:
        self._pids = pids
        self._ended = threading.Event()
        self.samples = [self._sample()]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _sample(self) -> tuple[float, float]:
        return time.monotonic(), spent(self._pids)

    def _run(self) -> None:
        while not self._ended.wait(0.25):
            self.samples.append(self._sample())

    def series(self, opened: float) -> list[tuple[float, float, float]]:
        """(from, to, cores) in seconds after ``opened``."""
        self._ended.set()
        self._thread.join()
        self.samples.append(self._sample())
        return [
            (a - opened, b - opened, max(0.0, (y - x) / (b - a)))
            for (a, x), (b, y) in zip(self.samples, self.samples[1:], strict=False)
            if b > max(a, opened)
        ]
