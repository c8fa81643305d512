"""One request in flight and a bounded rate: threads, processes, and a clock that is not real."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from pytest_triton.probe import pace as module
from pytest_triton.probe.pace import GENTLE_RATE, Pace


class Clock:
    """Time that passes only in sleep."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_the_rate_counts_from_the_start_of_each_request(clock: Clock) -> None:
    pace = Pace(10)
    for took in (0.0, 0.03, 0.5, 0.0):
        with pace:
            clock.now += took
    assert clock.slept == [0.0, 0.1, 0.07, 0.0]


def test_the_default_is_twenty_a_second(clock: Clock) -> None:
    pace = Pace()
    began = clock.now
    for _ in range(21):
        with pace:
            pass
    assert clock.now - began == pytest.approx(20 / GENTLE_RATE)
    assert GENTLE_RATE == 20


def test_a_request_inside_a_request_waits_for_nobody(clock: Clock) -> None:
    pace = Pace(1)
    with pace, pace, pace:
        pass
    with pace:
        pass
    assert clock.slept == [0.0, 1.0]


def test_an_error_gives_the_turn_back(clock: Clock) -> None:
    pace = Pace(1)
    with pytest.raises(RuntimeError), pace:
        raise RuntimeError
    taken: list[bool] = []
    thread = threading.Thread(target=lambda: taken.append(bool(pace.__enter__())))
    thread.start()
    thread.join(5)
    assert taken == [True]


def test_a_time_out_of_another_boot_does_not_stop_us(clock: Clock, tmp_path: Path) -> None:
    file = tmp_path / "pace"
    file.write_text("99999999.0")
    pace = Pace(10, file=file)
    with pace:
        pass
    pace.close()
    pace.close()
    assert clock.slept == [0.1]


def test_two_in_one_process_share_the_file(clock: Clock, tmp_path: Path) -> None:
    one, two = (Pace(10, file=tmp_path / "pace") for _ in range(2))
    for pace in (one, two, one):
        with pace:
            pass
    assert clock.slept == [0.0, 0.1, 0.1]
    for pace in (one, two):
        pace.close()


def test_threads_take_turns() -> None:
    pace = Pace(1e6)
    inside, most = 0, 0

    def call() -> None:
        nonlocal inside, most
        for _ in range(20):
            with pace:
                inside += 1
                most = max(most, inside)
                time.sleep(0.0001)
                inside -= 1

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert most == 1


WORKER = """
import sys, time
from itertools import pairwise
from pathlib import Path
from pytest_triton.probe.pace import Pace
pace = Pace(200, file=Path(sys.argv[1]))
for _ in range(10):
    with pace:
        began = time.monotonic()
        time.sleep(0.001)
        print(f"{began:.6f} {time.monotonic():.6f}")
"""


def test_processes_take_turns(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path / "pace")]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    spans = []
    for worker in workers:
        told, _ = worker.communicate(timeout=60)
        assert worker.returncode == 0
        spans += [tuple(map(float, line.split())) for line in told.splitlines()]
    spans.sort()
    assert len(spans) == 30
    for (began, ended), (next_began, _) in pairwise(spans):
        assert ended <= next_began
        assert next_began - began >= 0.0049
