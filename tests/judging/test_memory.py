"""Growth over cycles of load and unload: the interval, the verdict, and what memory counts."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import accumulate, chain, repeat
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_triton import memory
from pytest_triton.factory import Disposable

MIB = 1 << 20


def test_interval() -> None:
    assert memory.interval([], 0.01) == (-math.inf, math.inf)
    assert memory.interval([5.0], 0.01) == (-math.inf, math.inf)
    assert memory.interval([3.0, 3.0, 3.0], 0.01) == (3.0, 3.0)
    low, high = memory.interval([1.0, 2.0, 3.0, 4.0, 5.0], 0.05)  # t(0.975, 4) = 2.776
    assert (low + high) / 2 == pytest.approx(3.0)
    assert high - 3.0 == pytest.approx(2.776 * math.sqrt(2.5) / math.sqrt(5), rel=1e-3)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.1, 0.12, 0.09], "pass"),
        ([5.0, 5.1, 4.9], "fail"),
        ([1.2, 1.2, 1.2], "fail"),
        ([-20.0, 0.1, 0.1], "inconclusive"),  # something else went: that hides what was lost
        ([0.0, 0.0, 6.0], "inconclusive"),
        ([0.1], "inconclusive"),
    ],
)
def test_verdict(values: list[float], verdict: str) -> None:
    assert memory.verdict([value * MIB for value in values], 1.0 * MIB) == verdict


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    """A process that has a child of its own, and takes 30 MiB when it is told to."""
    code = (
        "import subprocess, sys\n"
        "other = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(60)'])\n"
        "print(other.pid, flush=True); sys.stdin.readline(); kept = b'x' * (30 << 20)\n"
        "print('kept', flush=True); sys.stdin.readline(); other.kill()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", code], stdin=-1, stdout=-1, text=True, bufsize=1
    )
    yield process
    process.communicate("\n\n", timeout=10)


def _line(process: subprocess.Popen[str], said: str = "") -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(said)
    return process.stdout.readline()


def test_what_a_tree_takes(child: subprocess.Popen[str]) -> None:
    below = int(_line(child))
    tree = memory.process_tree(child.pid)  # its parent is this process, and not part of it
    assert set(tree) == {child.pid, below}
    assert os.getpid() in memory.process_tree(os.getpid())
    assert child.pid in memory.process_tree(below)  # what a supervisor of ours is
    before = memory.settled(child.pid)
    assert 0 < before < 30 * MIB
    assert _line(child, "\n") == "kept\n"
    grown = memory.resident(tree) - before
    assert 30 * MIB <= grown < 34 * MIB
    assert memory.resident([2**22 + 1]) == 0  # a process that has ended


class Http:
    """A server whose model loads and unloads at once."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def load(self, model: str, **_: Any) -> None:
        self.calls.append("load")

    def unload(self, model: str) -> None:
        self.calls.append("unload")

    def model_ready(self, model: str) -> bool:
        return self.calls[-1] == "load"

    def index(self) -> list[dict[str, str]]:
        return [{"name": "m", "version": "1", "state": "UNAVAILABLE"}]


def _measured(
    monkeypatch: pytest.MonkeyPatch, growths: list[float], load: int = 40 * MIB
) -> tuple[memory.Growth, Http]:
    http = Http()
    looks = accumulate(chain([100 * MIB], (int(g * MIB * memory.CYCLES) for g in growths)))
    monkeypatch.setattr(memory, "settled", lambda pid: next(looks))
    monkeypatch.setattr(memory, "resident", lambda pids: 100 * MIB + load)
    subject = SimpleNamespace(
        http=http,
        settings=SimpleNamespace(boot_timeout=1.0),
        deployment=SimpleNamespace(pid=os.getpid()),
        case=lambda model: None,
        answer=lambda model, case: http.calls.append("infer"),
    )
    return memory.measure(Disposable(subject, "m")), http  # type: ignore[arg-type]


def test_a_server_that_gives_back(monkeypatch: pytest.MonkeyPatch) -> None:
    growth, http = _measured(monkeypatch, [0.1, 0.09, 0.11])
    assert growth.verdict == "pass"
    assert growth.footprint == 40 * MIB
    assert growth.budget == 2 * MIB
    assert len(growth.per_cycle) == memory.LOOKS[0]
    rounds = 1 + memory.LOOKS[0]
    assert http.calls == ["load", "infer", "unload"] * memory.CYCLES * rounds + ["load"]


def test_a_server_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _measured(monkeypatch, [3.0, 3.1, 2.9])[0].verdict == "fail"
    small = _measured(monkeypatch, [0.9, 0.9, 0.9], load=MIB)[0]  # below the floor
    assert (small.budget, small.verdict) == (MIB, "pass")


def test_noise_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    growth, _ = _measured(monkeypatch, [3.0, -1.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    assert len(growth.per_cycle) > memory.LOOKS[0]
    wild = [9.0, -9.0, 9.0] * 3
    growth, _ = _measured(monkeypatch, wild)
    assert growth.verdict == "inconclusive"
    assert len(growth.per_cycle) == memory.LOOKS[-1]


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PATIENCE", 0.2)
    monkeypatch.setattr(Http, "load", lambda self, model, **_: (
        time.sleep(0.1), self.calls.append("load")
    ))  # fmt: skip
    growth, http = _measured(monkeypatch, list(repeat(0.1, 20)))
    assert growth.verdict == "inconclusive"
    assert http.calls[-1] == "load"
