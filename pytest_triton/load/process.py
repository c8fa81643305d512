"""Owns the worker process: starts it, talks to it in frames, and ends it."""

from __future__ import annotations

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

from pytest_triton.errors import ToolError
from pytest_triton.load.cpu import CpuMeter, CpuSample
from pytest_triton.probe.types import ConnectionFailed

_ROOT = Path(__file__).resolve().parents[2]
_MAIN = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from pytest_triton.load.worker import main; main()"
)
_CPU_EVERY = 0.25

Progress = Callable[[str], None]


class LoadWorker:
    """The worker process, from its start to its end; never outlives the ``with`` block."""

    def __init__(self) -> None:
        # -I -S: neither the caller's environment nor site-packages slow it down or change it
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _MAIN, str(_ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._buffer = bytearray()
        self._complaint = b""
        self._selector = selectors.DefaultSelector()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ)

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> LoadWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue

    def _write(self, *parts: bytes) -> None:
        assert self._process.stdin is not None
        try:
            for part in parts:
                self._process.stdin.write(part)
            self._process.stdin.flush()
        except OSError:
            raise self._broken("the load worker ended before it had its job") from None

    def start(self, job: dict[str, Any], wire: Sequence[bytes], *, deadline: float) -> None:
        header = json.dumps(job).encode("utf-8")
        self._write(struct.pack("<Q", len(header)), header, *wire)
        kind, payload = self._frame(deadline)
        if kind == "E":
            raise ConnectionFailed("refused", payload.decode("utf-8", "replace"))

    def go(self) -> None:
        self._write(b"go\n")

    def measure(
        self,
        meter: CpuMeter,
        samples: list[CpuSample],
        deadline: float,
        progress: Progress | None,
        *,
        total_s: float,
    ) -> bytes:
        """The result's frame; samples the CPU and reports progress meanwhile."""
        if progress:
            progress("warming up")
        while True:
            kind, payload = self._frame(deadline, meter=meter, samples=samples)
            if kind == "D":
                samples.append(meter.sample())
                return payload
            if kind == "P" and progress:
                told = json.loads(payload)
                rate = told["n"] / told["s"] if told["s"] > 0 else 0.0
                errors = f", {told['errors']} errors" if told["errors"] else ""
                progress(
                    f"measuring {told['s']:.1f} of {total_s:g} s, {rate:.0f} requests/s{errors}"
                )

    def _frame(
        self,
        deadline: float,
        *,
        meter: CpuMeter | None = None,
        samples: list[CpuSample] | None = None,
    ) -> tuple[str, bytes]:
        while True:
            if len(self._buffer) >= 9:
                (size,) = struct.unpack_from("<Q", self._buffer, 1)
                if len(self._buffer) >= 9 + size:
                    kind = chr(self._buffer[0])
                    payload = bytes(memoryview(self._buffer)[9 : 9 + size])
                    del self._buffer[: 9 + size]
                    return kind, payload
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._broken("the load worker did not finish in time")
            wait = left
            if meter is not None and samples is not None:
                due = samples[-1].at + _CPU_EVERY - time.monotonic()
                if due <= 0:
                    samples.append(meter.sample())
                    continue
                wait = min(left, due)
            for key, _ in self._selector.select(wait):
                self._read(key.fileobj)

    def _read(self, pipe: Any) -> None:
        data = os.read(pipe.fileno(), 1 << 20)
        if pipe is self._process.stderr:
            self._complaint = (self._complaint + data)[-4000:]
        else:
            self._buffer += data
            if not data:
                raise self._broken("the load worker ended early")
        if not data:
            self._selector.unregister(pipe)

    def _broken(self, what: str) -> ToolError:
        try:
            assert self._process.stderr is not None
            self._complaint += os.read(self._process.stderr.fileno(), 4000)
        except (OSError, ValueError):
            pass
        said = self._complaint.decode("utf-8", "replace").strip()
        return ToolError(
            f"{what}: {said}" if said else what,
            "less concurrency or fewer, smaller requests; if it stays, please report it",
        )
