"""The closed-loop load generator: a program of its own that imports only the standard library.

Started without site-packages, it reads one job from standard input, connects, says ready,
waits for ``go``, warms up, measures, and writes frames to standard output: a type byte, a
length (8 bytes, little-endian) and that many bytes. ``R`` ready, ``P`` progress (JSON), ``E``
a setup error (text), ``D`` the result (JSON header, then the arrays and sampled bodies). It
ends when its standard input ends, so it never outlives its parent.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import struct
import sys
import threading
import time
from typing import Any

from pytest_triton.load.client import Connection, Run


def _emit(kind: bytes, *parts: bytes) -> None:
    size = sum(len(part) for part in parts)
    out = sys.stdout.buffer
    out.write(kind + struct.pack("<Q", size))
    for part in parts:
        out.write(part)
    out.flush()


async def _measure(job: dict[str, Any], requests: list[bytes]) -> None:
    run = Run(job, requests)
    run.connections = [Connection(run, number) for number in range(run.concurrency)]
    try:
        await asyncio.gather(*(connection.connect() for connection in run.connections))
    except (OSError, asyncio.TimeoutError) as error:
        _emit(b"E", f"cannot connect to {job['host']}:{job['port']}: {error!s:.200}".encode())
        return
    _emit(b"R")
    await run.loop.run_in_executor(None, _wait_for_go)
    gc.disable()
    run.sweep()
    for connection in run.connections:
        connection.send()
    await asyncio.sleep(job["warmup_s"])
    run.opened = time.monotonic()
    run.measuring = True
    limit = job["duration_s"] or job["max_s"]
    while run.measuring:
        left = run.opened + limit - time.monotonic()
        if left <= 0:
            run.close_window(time.monotonic())
            break
        try:
            await asyncio.wait_for(run.finished.wait(), min(left, 0.25))
        except asyncio.TimeoutError:
            told = {
                "s": time.monotonic() - run.opened,
                "n": run.in_window,
                "errors": run.errors.total(),
            }
            _emit(b"P", json.dumps(told).encode())
    await run.finished.wait()
    _emit(b"D", *_result(run))


def _result(run: Run) -> list[bytes]:
    bodies = list(run.samples.items())
    header = json.dumps(
        {
            "opened": run.opened,
            "closed": run.closed,
            "in_window": run.in_window,
            "n": len(run.latency),
            "errors": dict(run.errors),
            "unsampled": run.unsampled,
            "samples": [[key[0], count, len(key[1])] for key, count in bodies],
            "cpu_s": time.process_time(),
        }
    ).encode()
    return [
        struct.pack("<Q", len(header)),
        header,
        run.latency.tobytes(),
        run.ended.tobytes(),
        *(key[1] for key, _ in bodies),
    ]


def _wait_for_go() -> None:
    if sys.stdin.buffer.readline() != b"go\n":
        os._exit(3)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(3)


def _read_exactly(size: int) -> bytes:
    data = sys.stdin.buffer.read(size)
    if len(data) != size:
        os._exit(3)
    return data


def main() -> None:
    """Read the job, run it, write the result."""
    (size,) = struct.unpack("<Q", _read_exactly(8))
    job = json.loads(_read_exactly(size))
    requests = [_read_exactly(length) for length in job["lengths"]]
    asyncio.run(_measure(job, requests))
    # stay until the parent has read this process's CPU time; it ends us, or its end does
    threading.Event().wait()
