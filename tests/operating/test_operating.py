"""Operations: what counts as at once, as too slow and as wrong, and starts that really end."""

from __future__ import annotations

import os
import socket
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pytest_triton.launch.ports import HOST
from pytest_triton.launch.tried import tried
from pytest_triton.load.result import LoadResult
from pytest_triton.operating.broken_start import NOWHERE
from pytest_triton.operating.limiting import overlaps
from pytest_triton.operating.logs import entries
from pytest_triton.operating.reloads import NEW, OLD, STEPS, Reloads
from pytest_triton.operating.restarting import free_ports, listeners
from pytest_triton.operating.stopping import WAITS, Stopped
from pytest_triton.operating.working import Outcome
from pytest_triton.serverlog import errors
from pytest_triton.settings import Settings

WAITING_LOG = (
    'I1129 08:09:50.2 1 http_server.cc:248] "Timeout 30: Found 3 HTTP service connections"'
)


def done(model: str, began: int, ended: int) -> Outcome:
    return Outcome("one", model, 0.0, 1.0, span=(began, ended))


class TestAtOnce:
    def test_of_two_models(self) -> None:
        assert overlaps([done("a", 0, 10), done("b", 9, 20)])
        assert overlaps([done("a", 0, 100), done("b", 40, 50)])

    def test_one_after_the_other(self) -> None:
        assert not overlaps([done("a", 0, 10), done("b", 10, 20), done("a", 20, 30)])

    def test_of_one_model_is_none(self) -> None:
        assert not overlaps([done("a", 0, 10), done("a", 5, 20)])


class TestStopped:
    RIGHT = (Outcome("accepted 0", "m", 0.0, 2.0),)
    LATE = tuple(Outcome(f"late {at}", "m", 1.0, 1.1, refusal="refused") for at in range(2))

    def seen(self, **changes: object) -> Stopped:
        fields: dict[str, object] = {
            "accepted": self.RIGHT, "late": self.LATE, "status": 0, "seconds": 3.0,
            "log": WAITING_LOG, **changes,
        }  # fmt: skip
        return Stopped(**fields)  # type: ignore[arg-type]

    def test_enough_was_seen(self) -> None:
        assert not self.seen().too_slow

    def test_nobody_came_late(self) -> None:
        assert self.seen(late=self.LATE[:1]).too_slow

    def test_refused_when_all_was_done(self) -> None:
        slow = Outcome("late 1", "m", 1.9, 2.5, refusal="refused")
        assert self.seen(late=(self.LATE[0], slow)).too_slow

    @pytest.mark.parametrize(
        "wrong",
        [
            {"status": None},
            {"log": ""},
            {"accepted": (Outcome("accepted 0", "m", 0.0, 1.0, refusal="closed"),)},
            {"accepted": (Outcome("accepted 0", "m", 0.0, 1.0, wrong="answers 3"),)},
            {"accepted": (Outcome("accepted 0", "m", 0.0, 1.0, silent=True),)},
        ],
    )
    def test_what_is_wrong_is_not_called_slow(self, wrong: dict[str, object]) -> None:
        assert not self.seen(late=(), **wrong).too_slow

    def test_the_log(self) -> None:
        assert WAITS.search(WAITING_LOG)
        assert WAITS.search("] Timeout 30: Found 1 live models and 0 in-flight non-inference")
        assert not WAITS.search(
            "] Timeout 30: Found 0 model versions that have in-flight inferences"
        )


def load(started: float = 0.0, duration: float = 10.0, **changes: object) -> LoadResult:
    """A load with an answer every tenth of a second."""
    ended = np.arange(0.1, duration, 0.1)
    fields: dict[str, object] = {
        "requests": len(ended), "errors": 0, "wrong": 0, "checked": len(ended),
        "duration_s": duration, "throughput_rps": 10.0, "latency_us": np.full(len(ended), 1e3),
        "ended_s": ended, "started": started, "finished": started + duration, "concurrency": 1,
        **changes,
    }  # fmt: skip
    return LoadResult(**fields)  # type: ignore[arg-type]


class TestReloads:
    def seen(self, **changes: object) -> Reloads:
        spans = {step: (1.0 + at, 1.5 + at) for at, step in enumerate(STEPS)}
        fields: dict[str, object] = {
            "told": [OLD, *STEPS.values()], "after": dict(STEPS), "spans": spans,
            "load": {"http": load(), "grpc": load()}, **changes,
        }  # fmt: skip
        return Reloads(**fields)  # type: ignore[arg-type]

    def test_all_is_well(self) -> None:
        assert self.seen().flaws == []
        assert not self.seen().too_slow

    def test_who_looks_seldom_sees_less(self) -> None:
        assert self.seen(told=[OLD, NEW]).flaws == []
        assert self.seen(told=[NEW]).flaws == []

    @pytest.mark.parametrize(
        "told", [[NEW, OLD], [OLD, (1, 5, 0), OLD, NEW], [OLD, "http 503: no", NEW], [(9, 9, 9)]]
    )
    def test_old_after_new_and_refusals(self, told: list[object]) -> None:
        assert self.seen(told=told).flaws

    def test_a_load_that_does_not_hold(self) -> None:
        step = next(iter(STEPS))
        assert self.seen(after={**STEPS, step: OLD}).flaws == [
            f"{step}: it tells (1, 0, 0), not (1, 5, 0)"
        ]

    def test_requests_that_failed(self) -> None:
        failed = load(errors=1, error_texts=Counter({"HTTP 503: not ready": 1}))
        assert self.seen(load={"http": failed}).flaws == ["http: 1 × failed: HTTP 503: not ready"]

    def test_the_load_was_over(self) -> None:
        assert self.seen(load={"http": load(), "grpc": load(duration=2.0)}).too_slow

    def test_no_answer_meanwhile(self) -> None:
        assert self.seen(load={"http": load(started=2.0)}).too_slow

    def test_a_flaw_is_not_called_slow(self) -> None:
        assert not self.seen(load={"http": load(duration=0.5)}, unready=1).too_slow


def test_entries_of_both_formats() -> None:
    text = "\n".join(
        [
            'E1129 08:09:51.481548 5361 backend_model.cc:692] "ERROR: on purpose"',
            "At:",
            "  /models/bad/1/model.py(3): initialize",
            '2026-11-29T08:09:55Z I 5361 model_lifecycle.cc:472] "loading: bad:1"',
            "Signal (15) received.",
        ]
    )
    assert [(level, form) for level, form, _ in entries(text)] == [
        ("E", "default"),
        ("I", "ISO8601"),
    ]


def test_ports_and_who_listens() -> None:
    ports = free_ports()
    assert len(set(ports)) == 3
    assert not listeners(ports)
    with socket.socket() as taken:
        taken.bind((HOST, ports[1]))
        assert not listeners(ports), "who is bound does not listen yet"
        taken.listen()
        assert listeners(ports) == [(ports[1], os.getpid())]


def test_a_start_that_ends_by_itself(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    flags = ("--model-control-mode=none", "--exit-on-error=true")
    seen = tried(Settings(device="cpu"), tmp_path / NOWHERE, log, flags=flags, timeout=60.0)
    assert seen.status is not None
    assert seen.status != 0
    assert not seen.served
    assert any(NOWHERE in line for line in errors(log.read_text()))


def test_a_start_that_does_not_end(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    seen = tried(Settings(device="cpu"), tmp_path / "models", tmp_path / "server.log", timeout=60.0)
    assert seen.served
    assert seen.status is None
