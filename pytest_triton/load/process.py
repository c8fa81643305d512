"""Owns the worker processes: starts them, talks to them in frames, and ends them."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pytest_triton.errors import ToolError
from pytest_triton.load.cpu import CpuMeter, CpuSample
from pytest_triton.probe.types import ConnectionFailed

_ROOT = Path(__file__).resolve().parents[2]
_MAIN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]) or sys.path; "
    "sys.path.insert(0, sys.argv[1]); from pytest_triton.load.worker import main; main()"
)
_CPU_EVERY = 0.25
#: Seconds from the last worker's readiness to the start that they share.
_LEAD = 0.01

Progress = Callable[[str], None]


class LoadWorker:
    """One worker process, from its start to its end; never outlives the ``with`` block."""

    def __init__(self, *, packages: bool = False) -> None:
        # -I -S: neither the caller's environment nor site-packages slow it down or change it
        flags = ("-I",) if packages else ("-I", "-S")
        path = [entry for entry in sys.path if entry] if packages else []
        self._process = subprocess.Popen(
            [sys.executable, *flags, "-c", _MAIN, str(_ROOT), json.dumps(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.buffer = bytearray()
        self._complaint = b""
        self.progress: dict[str, Any] = {"s": 0.0, "n": 0, "errors": 0}
        for pipe in self.pipes:
            os.set_blocking(pipe.fileno(), False)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def pipes(self) -> tuple[Any, Any]:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        return self._process.stdout, self._process.stderr

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        """Wait for the end and close the pipes."""
        self._process.wait()
        for pipe in (self._process.stdin, *self.pipes):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue

    def write(self, *parts: bytes) -> None:
        assert self._process.stdin is not None
        try:
            for part in parts:
                self._process.stdin.write(part)
            self._process.stdin.flush()
        except OSError:
            raise self.broken("the load worker ended before it had its job") from None

    def start(
        self, job: dict[str, Any], wire: Sequence[bytes], times: np.ndarray[Any, Any]
    ) -> None:
        header = json.dumps({**job, "planned": len(times)}).encode("utf-8")
        self.write(struct.pack("<Q", len(header)), header, *wire, times.tobytes())

    def read(self, pipe: Any) -> bool:
        """Take what came; False at the end of a pipe."""
        data = os.read(pipe.fileno(), 1 << 20)
        if pipe is self._process.stderr:
            self._complaint = (self._complaint + data)[-4000:]
        else:
            self.buffer += data
            if not data:
                raise self.broken("the load worker ended early")
        return bool(data)

    def frame(self) -> tuple[str, bytes] | None:
        """The next whole frame; None: there is none yet."""
        if len(self.buffer) < 9:
            return None
        (size,) = struct.unpack_from("<Q", self.buffer, 1)
        if len(self.buffer) < 9 + size:
            return None
        kind = chr(self.buffer[0])
        payload = bytes(memoryview(self.buffer)[9 : 9 + size])
        del self.buffer[: 9 + size]
        return kind, payload

    def broken(self, what: str) -> ToolError:
        with contextlib.suppress(OSError, ValueError):
            self._complaint += os.read(self.pipes[1].fileno(), 4000)
        said = self._complaint.decode("utf-8", "replace").strip()
        return ToolError(
            f"{what}: {said}" if said else what,
            "less concurrency or fewer, smaller requests; if it stays, please report it",
        )


class Workers:
    """The workers of one run, started and measured together, as a context manager."""

    def __init__(self, count: int, *, packages: bool = False) -> None:
        self._all: list[LoadWorker] = []
        self._selector = selectors.DefaultSelector()
        try:
            for _ in range(count):
                worker = LoadWorker(packages=packages)
                self._all.append(worker)
                for pipe in worker.pipes:
                    self._selector.register(pipe, selectors.EVENT_READ, worker)
        except BaseException:
            self.__exit__()
            raise

    @property
    def pids(self) -> list[int]:
        return [worker.pid for worker in self._all]

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._all:
            worker.kill()
        self._selector.close()
        for worker in self._all:
            worker.close()

    def start(
        self,
        jobs: Sequence[dict[str, Any]],
        wire: Sequence[bytes],
        times: Sequence[np.ndarray[Any, Any]],
        *,
        deadline: float,
    ) -> None:
        """Hand out the jobs and wait until all are connected. Raises ConnectionFailed."""
        for worker, job, part in zip(self._all, jobs, times, strict=True):
            worker.start(job, wire, part)
        waiting = set(self._all)
        while waiting:
            for worker in list(waiting):
                if found := worker.frame():
                    if found[0] == "E":
                        raise ConnectionFailed("refused", found[1].decode("utf-8", "replace"))
                    waiting.discard(worker)
            if waiting:
                self._wait(deadline, deadline, waiting)

    def go(self) -> float:
        """Let all begin at one moment: monotonic seconds."""
        start = time.monotonic() + _LEAD
        for worker in self._all:
            worker.write(f"go {start!r}\n".encode("ascii"))
        return start

    def measure(
        self,
        meter: CpuMeter,
        samples: list[CpuSample],
        deadline: float,
        progress: Progress | None,
        *,
        total_s: float,
        at: Sequence[tuple[float, Callable[[], None]]] = (),
    ) -> list[bytes]:
        """The result of each worker. Samples the CPU, calls what is due, reports progress."""
        if progress:
            progress("warming up")
        results: dict[LoadWorker, bytes] = {}
        calls = sorted(at, key=lambda entry: entry[0])
        while True:
            for worker in self._all:
                while found := worker.frame():
                    if found[0] == "D":
                        results[worker] = found[1]
                    elif found[0] == "P":
                        worker.progress = json.loads(found[1])
                        if progress and worker is self._all[0]:
                            progress(self._told(total_s))
            if len(results) == len(self._all):
                samples.append(meter.sample())
                return [results[worker] for worker in self._all]
            now = time.monotonic()
            if calls and calls[0][0] <= now:
                calls.pop(0)[1]()
                continue
            due = samples[-1].at + _CPU_EVERY
            if due <= now:
                samples.append(meter.sample())
                continue
            until = min([due, *(moment for moment, _ in calls[:1])])
            self._wait(until, deadline, set(self._all) - set(results))

    def _told(self, total_s: float) -> str:
        told = [worker.progress for worker in self._all]
        seconds = told[0]["s"]
        count, errors = sum(one["n"] for one in told), sum(one["errors"] for one in told)
        rate = count / seconds if seconds > 0 else 0.0
        failed = f", {errors} errors" if errors else ""
        return f"measuring {seconds:.1f} of {total_s:g} s, {rate:.0f} requests/s{failed}"

    def _wait(self, until: float, deadline: float, waiting: set[LoadWorker]) -> None:
        now = time.monotonic()
        if now >= deadline:
            raise next(iter(waiting)).broken("the load worker did not finish in time")
        for key, _ in self._selector.select(max(min(until, deadline) - now, 0)):
            worker: LoadWorker = key.data
            if not worker.read(key.fileobj):
                self._selector.unregister(key.fileobj)
