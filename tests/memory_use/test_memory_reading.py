"""What one reading counts, what a sampler sees, and the limits of the host."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_triton.memory_use import headroom, reading, sampling
from pytest_triton.memory_use.headroom import (
    Headroom,
    NoRoom,
    OthersUse,
    memory_limit,
    require_room,
)
from pytest_triton.memory_use.reading import SHM, Reader, Reading, highest
from pytest_triton.memory_use.sampling import Sampler

MIB = 1 << 20
#: Does what standard input says, line by line, and answers each with a line.
_CHILD = """
import mmap, os, subprocess, sys
kept = []
def file(path, size, mapped):
    number = os.open(path, os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(number, 0, size)
    if mapped:
        kept.append(mmap.mmap(number, size))
        for at in range(0, size, 4096):
            kept[-1][at] = 1
    os.close(number)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


class Child:
    """A process that stands for a server: what it takes is known."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", _CHILD], stdin=-1, stdout=-1, text=True, bufsize=1
        )

    def do(self, line: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        assert self.process.stdout.readline() == "done\n"

    def end(self) -> None:
        self.process.communicate(timeout=10)


@pytest.fixture
def child() -> Iterator[Child]:
    made = Child()
    made.do("pass")
    yield made
    made.end()


@pytest.fixture
def shm(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A beginning of names in /dev/shm, where no others are seen; what has it is removed."""
    name = f"pytest_triton_test_{os.getpid()}_"
    files = reading._files
    monkeypatch.setattr(
        reading, "_files", lambda: {n: size for n, size in files().items() if n.startswith(name)}
    )
    yield f"{SHM}/{name}"
    for path in SHM.glob(f"{name}*"):
        path.unlink()


def _near(size: int, mib: float) -> None:
    assert mib * MIB <= size < (mib + 1) * MIB


def test_each_part_is_counted_once(child: Child, shm: str) -> None:
    reader = Reader(child.process.pid, gpu=False)
    before = reader.now()
    child.do("kept.append(bytearray(20 << 20))")
    child.do(f"file('{shm}mapped', 5 << 20, True)")
    child.do(f"file('{shm}left', 3 << 20, False)")
    after = reader.now()
    _near(after.server - before.server, 20)
    _near(after.shared - before.shared, 8)
    assert after.host == after.server + after.stubs + after.shared
    assert after.gpu == ()


def test_processes_below_count_as_stubs(child: Child) -> None:
    reader = Reader(child.process.pid, gpu=False)
    assert reader.now().processes == 0
    # A fork shares its pages: together the two hold them once.
    child.do("kept.append(bytearray(30 << 20))")
    before = reader.now()
    child.do("pid = os.fork() or [sys.stdin.close(), __import__('time').sleep(60)]")
    after = reader.now()
    assert after.processes == 1
    assert after.stubs > 10 * MIB
    assert abs(after.host - before.host) < 6 * MIB
    child.do("os.kill(pid, 9); os.waitpid(pid, 0)")
    assert reader.unloaded(0).processes == 0


def test_what_others_have_mapped_is_theirs(child: Child, shm: str) -> None:
    reader = Reader(child.process.pid, gpu=False)
    before = reader.now()
    other = Child()
    try:
        other.do(f"file('{shm}other', 6 << 20, True)")
        assert reader.now().shared == before.shared
    finally:
        other.end()
    assert reader.now().shared == before.shared  # it was another's, and stays it


def test_what_was_there_is_not_the_servers(child: Child, shm: str) -> None:
    Path(f"{shm}before").write_bytes(b"x" * MIB)
    assert Reader(child.process.pid, gpu=False).now().shared == 0


def test_what_is_removed_meanwhile_is_nobodys(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[dict[str, int]] = [{}, {"a": 5 * MIB, "left": MIB}, {"left": MIB}]
    monkeypatch.setattr(reading, "_files", lambda: listed.pop(0))
    reader = Reader(child.process.pid, gpu=False)
    assert reader._left((child.process.pid,)) == MIB


def test_the_most_of_many() -> None:
    made = [Reading(1, 0, 0, 0, (5, 1)), Reading(3, 0, 0, 0, (2, 2)), Reading(2, 0, 0, 0, (1, 9))]
    assert highest(made) == Reading(3, 0, 0, 0, (5, 9))
    assert highest([Reading(1, 0, 0, 0)]).gpu == ()


def test_a_first_reading_that_fails_ends_what_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    class Watched:
        used = ()

        def __init__(self, interval_s: float) -> None:
            done.append("made")

        def __enter__(self) -> Watched:
            return self

        def __exit__(self, *_: object) -> None:
            done.append("ended")

    def now(used: object) -> Reading:
        raise OSError("gone")

    monkeypatch.setattr(sampling, "Watch", Watched)
    fake: Any = SimpleNamespace(gpu=True, now=now)
    with pytest.raises(OSError, match="gone"), Sampler(fake):
        pass
    assert done == ["made", "ended"]


def test_a_peak_between_two_readings_at_rest(child: Child) -> None:
    reader = Reader(child.process.pid, gpu=False)
    before = reader.settled()
    with Sampler(reader, 0.01) as sampler:
        child.do("kept.append(b'x' * (40 << 20))")
        seen, until = len(sampler.samples.host), time.monotonic() + 20
        while len(sampler.samples.host) < seen + 2 and time.monotonic() < until:
            time.sleep(0.01)
        child.do("kept.clear()")
    _near(sampler.peak.host - before.host, 40)
    assert reader.settled().host - before.host < 10 * MIB
    assert max(sampler.samples.host) == sampler.peak.host
    assert len(sampler.samples.times) == len(sampler.samples.host) >= 4
    assert sampler.samples.longest_gap > 0


def test_headroom() -> None:
    place = Headroom("GPU 0", 16_000, "the card", 13_500, "m at batch 8", 0.10)
    assert (place.left, place.verdict) == (2500, "pass")
    assert Headroom("GPU 0", 16_000, "the card", 14_401, "m", 0.10).verdict == "fail"
    assert Headroom("host", 100, "the machine", 130, "m", 0.0).verdict == "fail"


def test_the_limit_of_the_host(tmp_path: Path) -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    groups, root = tmp_path / "cgroup", tmp_path / "fs"
    groups.write_text("0::/a/b\n")
    assert memory_limit(root, groups) == (machine, "the machine")
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/memory.max").write_text("max\n")
    assert memory_limit(root, groups) == (machine, "the machine")
    (root / "a/memory.max").write_text(f"{512 * MIB}\n")
    assert memory_limit(root, groups) == (512 * MIB, "the control group")
    groups.write_text("9:cpu,cpuacct:/a\n8:memory:/old\n")
    (root / "memory").mkdir()
    (root / "memory/memory.limit_in_bytes").write_text(f"{256 * MIB}\n")
    assert memory_limit(root, groups) == (256 * MIB, "the control group")


def _host(monkeypatch: pytest.MonkeyPatch, available: int) -> None:
    """1000 MiB, of which so many are free."""
    monkeypatch.setattr(headroom, "memory_limit", lambda: (1000 * MIB, "the control group"))
    free = SimpleNamespace(available=available * MIB)
    monkeypatch.setattr(headroom.psutil, "virtual_memory", lambda: free)


def test_a_model_that_grows_is_stopped_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    _host(monkeypatch, 800)
    require_room(800 * MIB, 700 * MIB, 0.2)
    with pytest.raises(NoRoom, match="it has grown until 14% of the host's memory was left") as e:
        require_room(860 * MIB, 700 * MIB, 0.2)
    assert e.value.verdict == "fail"


def test_what_others_take_is_not_the_models_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    _host(monkeypatch, 80)
    with pytest.raises(OthersUse, match="other programs use the host's memory, 8%") as error:
        require_room(100 * MIB, 5 * MIB, 0.1)
    assert error.value.verdict == "inconclusive"
    with pytest.raises(NoRoom) as own:  # without its growth there were enough
        require_room(100 * MIB, 60 * MIB, 0.1)
    assert not isinstance(own.value, OthersUse)


def test_nothing_is_stopped_that_leaves_what_has_to_be_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _host(monkeypatch, 120)
    require_room(880 * MIB, 700 * MIB, 0.1)
    with pytest.raises(NoRoom):
        require_room(880 * MIB, 700 * MIB, 0.5)
