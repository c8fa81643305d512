"""The process that owns a script: starts it, bounds it, and ends all that it started.

Runs by itself (``python -I -S cage.py``), with the standard library only. Its standard input is
a line of JSON, then a pipe whose end means that nobody waits any more. As the subreaper of what
the script starts, it finds processes that left the script's group and session too. It keeps an
honest or a careless script in bounds; it is no sandbox against a hostile one.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from typing import Any

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
#: Seconds between two looks at the script; seconds its children get to end after it.
LOOK, GRACE = 0.05, 1.0
#: Seconds within which everything has to be dead.
ENDING = 10.0
#: Processes of a script, at most.
PROCESSES = 256


def _descendants() -> list[int]:
    """Pids below this process that still run."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if fields[0] not in (b"Z", b"X"):
            parents[int(name)] = int(fields[1])
    mine = {os.getpid()}
    found: set[int] = set()
    while fresh := {pid for pid, parent in parents.items() if parent in mine} - found:
        found |= fresh
        mine = fresh
    return sorted(found)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _kill_all() -> int:
    """End every descendant; how many are left after :data:`ENDING`."""
    deadline = time.monotonic() + ENDING
    while (left := _descendants()) and time.monotonic() < deadline:
        for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped, they start no others
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, number)
        _reap()
    _reap()
    return len(left)


def _limit(limits: dict[str, int]) -> None:
    for name, value in limits.items():
        number = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(number)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (most, most))


def _memory() -> int:
    """Bytes that belong to the descendants alone."""
    total = 0
    for pid in _descendants():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/status", "rb") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith(b"RssAnon:"))
    return total << 10


def _size(directory: str) -> int:
    total = 0
    for base, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(base, name)).st_size
    return total


def _connections(ports: set[int]) -> set[tuple[int, int]]:
    """Ports of this end and of the other one, of connections to these ports, closed ones too."""
    found = set()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open(f"/proc/self/net/{name}", "rb") as file:
            for line in file.readlines()[1:]:
                here, there = (int(end.rpartition(b":")[2], 16) for end in line.split()[1:3])
                if there in ports:
                    found.add((here, there))
    return found


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Run one script to its end, its deadline or a bound that it breaks."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    started = time.monotonic()
    stopped = ""
    ports = set(job["ports"])
    others = _connections(ports)
    came: set[tuple[int, int]] = set()
    with open(job["stdout"], "wb") as out, open(job["stderr"], "wb") as err:
        process = subprocess.Popen(
            job["command"], cwd=job["cwd"], env=job["env"], stdin=subprocess.DEVNULL, stdout=out,
            stderr=err, start_new_session=True, preexec_fn=lambda: _limit(job["limits"]),
        )  # fmt: skip
    while not stopped and process.poll() is None:
        if time.monotonic() > started + job["deadline_s"]:
            stopped = "deadline"
        elif select.select([sys.stdin], [], [], LOOK)[0] and not os.read(0, 1):
            stopped = "abandoned"
        elif _size(job["cwd"]) > job["most_bytes"]:
            stopped = "bytes"
        elif len(_descendants()) > PROCESSES:
            stopped = "processes"
        elif "memory" in job and _memory() > job["memory"]:
            stopped = "memory"
        came |= _connections(ports)
    seconds = time.monotonic() - started
    came |= _connections(ports)  # those of a short script are kept as closed
    status = process.returncode
    deadline = time.monotonic() + (0 if stopped else GRACE)
    while (left := _descendants()) and time.monotonic() < deadline:
        _reap()
        time.sleep(LOOK)
    unkillable = _kill_all()
    return {"status": status, "stopped": stopped, "seconds": seconds,
            "left": 0 if stopped else len(left), "unkillable": unkillable,
            "connections": [there for _, there in came - others]}  # fmt: skip


def _line() -> bytes:
    """The first line of the input, and not a byte more: what follows is waited for."""
    found = bytearray()
    while (byte := os.read(0, 1)) and byte != b"\n":
        found += byte
    return bytes(found)


def main() -> None:
    """Read the job, run it, print what came of it."""
    job = json.loads(_line())
    sys.stdout.write(json.dumps(run(job)) + "\n")


if __name__ == "__main__":
    main()
