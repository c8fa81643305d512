"""Whoever booted a server may be killed at any moment: nothing of it stays behind."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

#: Seconds in which everything has to be gone.
GONE = 8.0
CREATOR = """
import sys, time
from pathlib import Path
from pytest_triton.launch.embedded import ServerSpec, embedded

print("begin", flush=True)
with embedded(ServerSpec(Path(sys.argv[1]), device="cpu", auto_complete=True)):
    print("ready", flush=True)
    time.sleep(600)
"""


def processes_with(mark: str) -> list[str]:
    """Processes that inherited the mark, zombies left out."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark.encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def regions_of(directories: set[str]) -> list[str]:
    """Shared memory regions of the servers that kept these directories."""
    identities = {name.rpartition("-")[2] for name in directories}
    return [
        name for name in os.listdir("/dev/shm") if any(identity in name for identity in identities)
    ]


def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize(
    "moment", ["begin", 0.01, 0.05, 0.1, "random 1", "random 2", "random 3", "ready"]
)
def test_killing_the_creator_leaves_nothing(
    moment: str | float, repository: Path, model, tmp_path: Path
) -> None:
    model()
    kill_at(moment, repository, tmp_path)


@pytest.mark.parametrize("moment", ["random 1", "random 2", "random 3", "ready"])
def test_killing_the_creator_of_torchscript_models(
    moment: str | float, repository: Path, torchscript, tmp_path: Path
) -> None:
    torchscript("first")
    torchscript("second")
    kill_at(moment, repository, tmp_path, longest=6.0)


def kill_at(moment: str | float, repository: Path, tmp_path: Path, *, longest: float = 2.5) -> None:
    """Kill a process with SIGKILL at a moment of its boot, and see everything go."""
    temporary = tmp_path / "t"
    temporary.mkdir()
    mark = f"PYTEST_TRITON_MARK={uuid.uuid4().hex}"
    name, _, value = mark.partition("=")
    creator = subprocess.Popen(
        [sys.executable, "-c", CREATOR, str(repository)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, name: value, "MARK": mark, "TMPDIR": str(temporary)},
    )
    try:
        assert creator.stdout is not None
        assert creator.stdout.readline() == "begin\n"
        if moment == "ready":
            assert creator.stdout.readline() == "ready\n"
            assert len(processes_with(mark)) >= 4  # creator, supervisor, server, stub
            assert regions_of(set(os.listdir(temporary)))
        elif moment != "begin":
            seconds = (
                random.uniform(0.0, longest) if str(moment).startswith("random") else float(moment)
            )
            time.sleep(seconds)
        directories = set(os.listdir(temporary))
    finally:
        creator.kill()
    directories |= set(os.listdir(temporary))
    creator.wait(10)
    gone = eventually(
        lambda: (
            not processes_with(mark)
            and not regions_of(directories | set(os.listdir(temporary)))
            and not os.listdir(temporary)
        ),
        GONE,
    )
    assert gone, (processes_with(mark), regions_of(directories), os.listdir(temporary))


def test_killing_the_supervisor_ends_the_server(repository: Path, model) -> None:
    from pytest_triton.launch.embedded import ServerSpec, embedded

    model()
    with embedded(ServerSpec(repository, device="cpu")) as deployment:
        stat = Path(f"/proc/{deployment.pid}/stat").read_text()
        supervisor = int(stat.rpartition(")")[2].split()[1])
        stubs = [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and parent_of(int(entry.name)) == deployment.pid
        ]
        os.kill(supervisor, 9)
        assert eventually(lambda: not running(deployment.pid), GONE)
        assert eventually(lambda: not any(running(stub) for stub in stubs), GONE)
    assert not regions_of({deployment.log_path.parent.name})
    assert not deployment.log_path.parent.exists()


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def running(pid: int | None) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
