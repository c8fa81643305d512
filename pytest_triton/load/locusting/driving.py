"""Drive load with Locust, distributed: a master here, workers here or on other machines."""

from __future__ import annotations

import base64
import ctypes
import json
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import numpy as np

from pytest_triton.errors import ToolError
from pytest_triton.load.records import PERCENTILES, Record
from pytest_triton.load.requests import PreparedRequest, check_answer
from pytest_triton.load.stats import percentile

_HERE = Path(__file__).parent
_PDEATHSIG = 1
#: Seconds until workers have to be there: of this machine, and of others.
LOCAL_S, REMOTE_S = 40.0, 300.0
INSTALL = "pip install 'pytest-triton[locust]'"


def drive_with_locust(
    url: str,
    requests: Sequence[PreparedRequest],
    *,
    users: int,
    duration_s: float,
    warmup_s: float = 2.0,
    workers: int = 2,
    expect_workers: int | None = None,
    bind: str = "127.0.0.1",
    bind_port: int = 0,
    timeout_s: float = 10.0,
    check_every: int = 10,
    seed: int = 0,
    headers: Iterable[tuple[str, str]] = (),
    model: str = "",
    progress: Callable[[str], None] | None = None,
) -> Record:
    """A closed loop of ``users`` requests in flight, spread over workers; one record.

    ``workers`` are started here; with ``expect_workers`` above that, others have to join on
    ``bind``:``bind_port`` (0: a free one) within five minutes. Each worker opens its window of
    ``duration_s`` seconds when its first user has been there for ``warmup_s``. Latencies are in
    microseconds as the workers saw them, every one of them. ``more``: workers, sent (requests,
    warm-up too), wrong, checked, error_texts, client_cpu_s, little (throughput times latency).

    Raises ToolError: no Locust, no HTTP URL, workers that do not come or are lost, no answer.
    """
    if find_spec("locust") is None:
        raise ToolError("Locust is not installed here", INSTALL)
    expected = max(workers, expect_workers or 0)
    if users < expected or expected < 1 or not requests or duration_s <= 0:
        raise ValueError("needs requests, a duration, workers, and a user for each worker")
    job = {
        **_target(url, requests, headers), "users": users, "duration_s": duration_s,
        "warmup_s": warmup_s, "timeout_s": timeout_s, "check_every": check_every, "seed": seed,
        "expect_workers": expected, "bind": bind, "bind_port": bind_port or _free_port(bind),
        "workers_within_s": LOCAL_S if expected == workers else REMOTE_S,
    }  # fmt: skip
    seconds = job["workers_within_s"] + warmup_s + duration_s + 2 * timeout_s + 90
    with ExitStack() as stack:
        master, complaint = stack.enter_context(_process("master.py"))
        assert master.stdin is not None
        master.stdin.write(json.dumps(job).encode() + b"\n")
        master.stdin.flush()
        here = "127.0.0.1" if bind in ("*", "0.0.0.0") else bind
        for _ in range(workers):
            stack.enter_context(_process("worker.py", here, str(job["bind_port"])))
        results = _told(master, complaint, time.monotonic() + seconds, progress)
    return _record(results, requests, users, duration_s, model)


def _target(
    url: str, requests: Sequence[PreparedRequest], headers: Iterable[tuple[str, str]]
) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ToolError(f"{url!r} is no http URL", "give one like http://HOST:8000")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
    prefix = f"Host: {parts.netloc}\r\n".encode("ascii") + lines
    wire = [
        f"POST {parts.path.rstrip('/')}{one.path} HTTP/1.1\r\n".encode("ascii")
        + prefix + one.headers + b"\r\n" + one.body
        for one in requests
    ]  # fmt: skip
    return {
        "host": parts.hostname, "port": parts.port or 80,
        "wire": [base64.b64encode(one).decode() for one in wire],
    }  # fmt: skip


def _free_port(bind: str) -> int:
    with socket.socket() as probe:
        probe.bind(("" if bind == "*" else bind, 0))
        return int(probe.getsockname()[1])


@contextmanager
def _process(program: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """A program of ours, which ends with the block and with this process."""
    with tempfile.TemporaryFile() as complaint:
        process = subprocess.Popen(
            [sys.executable, str(_HERE / program), *arguments], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=complaint, start_new_session=True,
            preexec_fn=lambda: ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0),
        )  # fmt: skip
        try:
            yield process, complaint
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _told(
    master: subprocess.Popen[bytes],
    complaint: IO[bytes],
    deadline: float,
    progress: Callable[[str], None] | None,
) -> list[dict[str, Any]]:
    assert master.stdout is not None
    while True:
        left = deadline - time.monotonic()
        ready = select.select([master.stdout], [], [], max(left, 0))[0]
        line = master.stdout.readline() if ready else b""
        if not line:
            complaint.seek(0)
            said = complaint.read()[-1000:].decode("utf-8", "replace").strip()
            raise ToolError(f"Locust's master ended without a result: {said}", "run it again")
        told = json.loads(line)
        if "error" in told:
            raise ToolError(
                told["error"], "look whether workers reach the master, and run it again"
            )
        if "results" in told:
            results: list[dict[str, Any]] = told["results"]
            return results
        if progress:
            progress(told["progress"])


def _record(
    results: Sequence[dict[str, Any]],
    requests: Sequence[PreparedRequest],
    users: int,
    duration_s: float,
    model: str,
) -> Record:
    latency = np.concatenate(
        [np.frombuffer(base64.b64decode(one["latency_us"]), np.float64) for one in results]
    )
    errors: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    checked = 0
    for one in results:
        errors.update(one["errors"])
        for index, json_length, body in one["samples"]:
            checked += 1
            if fault := check_answer(requests[index], json_length, base64.b64decode(body)):
                wrong[fault[:200]] += 1
    active = sum(one["users"] for one in results)
    if active != users:
        raise ToolError(f"{active} of {users} users sent requests", "measure longer")
    failed = sum(one["failed"] for one in results)
    if not len(latency) and not failed:
        raise ToolError("no request ended within the window", "measure longer")
    throughput = sum(one["in_window"] for one in results) / duration_s
    mean = float(latency.mean()) if len(latency) else float("nan")
    return Record(
        protocol="http",
        requests=len(latency) + failed,
        errors=failed + wrong.total(),
        duration_s=duration_s,
        throughput_rps=throughput,
        latency_us={"mean": mean, **{f"p{q}": percentile(latency, q) for q in PERCENTILES}},
        concurrency=users,
        model=model,
        engine="locust",
        more={
            "workers": len(results),
            "sent": sum(one["sent"] for one in results),
            "wrong": wrong.total(),
            "checked": checked,
            "error_texts": dict((errors + wrong).most_common(5)),
            "client_cpu_s": sum(one["cpu_s"] for one in results),
            "little": throughput * mean / 1e6,
        },
    )
