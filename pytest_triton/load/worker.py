"""The load generator: a program of its own.

Over HTTP it is started without site-packages and imports only the standard library. It reads one
job from standard input, connects, says ready, waits for ``go`` and a time (monotonic, the same for
all workers of a run), warms up, measures, and writes frames to standard output: a type byte, a
length (8 bytes, little-endian) and that many bytes. ``R`` ready, ``P`` progress (JSON), ``E``
a setup error (text), ``D`` the result (JSON header, then the arrays and sampled bodies). It
ends when its standard input ends, so it never outlives its parent.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import struct
import sys
import threading
import time
from array import array
from collections.abc import Callable
from typing import Any

from pytest_triton.load import pacing
from pytest_triton.load.client import Connection
from pytest_triton.load.running import Client, Run


def _emit(kind: bytes, *parts: bytes) -> None:
    size = sum(len(part) for part in parts)
    out = sys.stdout.buffer
    out.write(kind + struct.pack("<Q", size))
    for part in parts:
        out.write(part)
    out.flush()


def _clients(job: dict[str, Any]) -> Callable[[Run, int], Client]:
    if job["protocol"] == "http":
        return Connection
    from pytest_triton.load.grpc_client import Channels, GrpcClient

    channels = Channels(job)
    return lambda run, number: GrpcClient(run, number, channels)


async def _measure(job: dict[str, Any], requests: list[bytes], times: array[float]) -> None:
    run = Run(job, requests)
    make = _clients(job)
    run.connections = [make(run, number) for number in range(job["concurrency"])]
    try:
        await asyncio.gather(*(connection.connect() for connection in run.connections))
    except (OSError, asyncio.TimeoutError) as error:
        told = str(error)[:200] or "no connection in time"
        _emit(b"E", f"cannot connect to {job['host']}:{job['port']}: {told}".encode())
        return
    _emit(b"R")
    start = await run.loop.run_in_executor(None, _wait_for_go)
    gc.collect()
    gc.freeze()
    gc.disable()
    feed = pacing.Paced(run, start, times, make) if run.open_loop else pacing.AtOnce(run)
    run.feed = feed
    spent = time.process_time()
    metronome = pacing.Metronome(run)
    await pacing.play(
        run, feed, start, lambda done: _emit(b"P", json.dumps(done).encode()), metronome
    )
    slept = feed.slept if isinstance(feed, pacing.Paced) else array("d")
    beats = {"beat": metronome.at, "beat_late": metronome.late}
    _emit(
        b"D",
        *_result(
            run, {"slept": slept, **beats}, (time.process_time() - spent, time.monotonic() - start)
        ),
    )


def _result(run: Run, more: dict[str, array[float]], used: tuple[float, float]) -> list[bytes]:
    bodies = list(run.samples.items())
    arrays = {
        "latency": run.latency, "ended": run.ended, "late": run.late, "failed": run.failed,
        **more,
    }  # fmt: skip
    header = json.dumps(
        {
            "opened": run.opened,
            "closed": run.closed,
            "in_window": run.in_window,
            "arrays": {name: len(values) for name, values in arrays.items()},
            "errors": dict(run.errors),
            "good": run.good,
            "bad": run.bad,
            "connections": len(run.connections),
            "unsampled": run.unsampled,
            "samples": [[key[0], count, len(key[1])] for key, count in bodies],
            "cpu_s": used[0],
            "wall_s": used[1],
        }
    ).encode()
    return [
        struct.pack("<Q", len(header)),
        header,
        *(values.tobytes() for values in arrays.values()),
        *(key[1] for key, _ in bodies),
    ]


def _wait_for_go() -> float:
    word, _, start = sys.stdin.buffer.readline().partition(b" ")
    if word != b"go":
        os._exit(3)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    return float(start)


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
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a connection is a descriptor
    times = array("d")
    times.frombytes(_read_exactly(8 * job["planned"]))
    pacing.run(_measure(job, requests, times), precise=job["open"])
    # stay until the parent has read this process's CPU time; it ends us, or its end does
    threading.Event().wait()
