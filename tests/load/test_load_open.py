"""Open loops: plans, latency from the plan, and a generator that says what it could not do."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pytest_triton.errors import ToolError
from pytest_triton.load.engine import closed_loop, open_loop
from pytest_triton.load.plan import constant, planned, poisson, read_trace, trace
from pytest_triton.load.requests import PreparedRequest, prepare_http
from pytest_triton.load.serverside import Reading
from pytest_triton.load.trust import in_flight
from pytest_triton.probe.types import ConnectionFailed

sys.path.append(str(Path(__file__).parents[1] / "probe"))
from stub_server import hangs_up, http, inference, says, stalls, stub_server

GOOD = inference([1.0, 2.0])


def prepared() -> PreparedRequest:
    array = np.array([(1.0, 2.0)], np.float32)
    return prepare_http("m", "", {"IN": array}, expected={"OUT": array})


def test_constant_arrivals_are_even() -> None:
    plan = constant(200.0, 1.5)
    assert len(plan.times) == 300
    assert np.allclose(np.diff(plan.times), 0.005)
    assert plan.times[0] == 0
    assert len(constant(0.5, 1.0).times) == 1


def test_poisson_arrivals_are_independent_and_seeded() -> None:
    plan = poisson(1000.0, 20.0, seed=3)
    gaps = np.diff(plan.times)
    assert np.array_equal(plan.times, poisson(1000.0, 20.0, seed=3).times)
    assert not np.array_equal(plan.times[:9], poisson(1000.0, 20.0, seed=4).times[:9])
    assert len(plan.times) == pytest.approx(20_000, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # as exponential ones are
    assert np.corrcoef(gaps[:-1], gaps[1:])[0, 1] == pytest.approx(0, abs=0.03)
    assert plan.times.max() < 20


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="request rate"):
        planned("constant", rate, 1.0)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_duration_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="duration"):
        planned("poisson", 10.0, seconds)
    with pytest.raises(ValueError, match="constant or poisson"):
        planned("normal", 10.0, 1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="more than"):
        planned("constant", 1e9, 1.0)


def test_a_trace_file(tmp_path: Path) -> None:
    file = tmp_path / "arrivals.csv"
    file.write_text("seconds,what\n# a comment\n10.0,x\n10.25,y\n\n11.0,z\n")
    plan = read_trace(file)
    assert plan.times.tolist() == [0.0, 0.25, 1.0]
    assert plan.rate == 2.0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no times"), ("time\n", "no times"), ("1\nx\n", "bad.csv:2: 'x' is no time"),
        ("2\n1\n", "goes back at its time 2"), ("1\nnan\n", "no numbers"),
    ],
)  # fmt: skip
def test_a_trace_that_is_none_names_its_line(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(ToolError, match=told):
        read_trace(file)


def test_every_planned_request_is_sent_and_counted() -> None:
    with stub_server(says(GOOD)) as stub:
        run = open_loop(
            stub.url, [prepared()], rate=100, duration_s=1.0, warmup_s=0.2, check_every=1
        )
    assert (run.errors, run.wrong) == (0, 0)
    assert run.requests == run.planned == 100
    assert run.checked == 100
    assert run.concurrency == 0
    assert run.request_rate == 100
    assert len(run.late_us) == len(run.latency_us) == len(run.slept_us) == 100
    # sent after its time, and latency counts from the time
    assert (run.late_us >= 0).all()
    assert (run.latency_us >= run.late_us).all()
    assert len(stub.requests) == 120


def test_a_trace_is_played_once_behind_its_warm_up() -> None:
    with stub_server(says(GOOD)) as stub:
        run = open_loop(stub.url, [prepared()], trace=trace([0, 0.1, 0.15, 0.4]), warmup_s=0.4)
    assert run.requests == run.planned == 4
    assert len(stub.requests) == 4 + 3  # three gaps in 0.4 s
    assert run.duration_s == pytest.approx(0.401, abs=0.05)


def test_several_workers_share_a_plan_and_a_concurrency() -> None:
    with stub_server(says(GOOD)) as stub:
        run = open_loop(stub.url, [prepared()], rate=99, duration_s=1.0, warmup_s=0, processes=3)
        assert (run.requests, run.planned, run.processes) == (99, 99, 3)
        assert (np.diff(run.ended_s) >= 0).all()
        closed = closed_loop(
            stub.url, [prepared()], concurrency=5, duration_s=0.3, warmup_s=0, processes=3
        )
    assert closed.connections == 5
    assert closed.processes == 3
    assert closed.errors == 0


def test_a_stall_is_seen_from_the_plan_and_hidden_from_a_closed_loop() -> None:
    """Coordinated omission: a server that stops for 0.4 s of each second."""
    began = time.monotonic()

    def answer(connection, request, over) -> None:
        phase = (time.monotonic() - began) % 1.0
        if phase < 0.4:
            over.wait(0.4 - phase)
        connection.sendall(GOOD)

    with stub_server(answer) as stub:
        closed = closed_loop(stub.url, [prepared()], concurrency=1, duration_s=2.0, warmup_s=0)
        planned_ = open_loop(stub.url, [prepared()], rate=100, duration_s=2.0, warmup_s=0)
    # two requests in the closed loop meet the stall, and 40 % of those that were planned do
    assert (closed.latency_us > 1e5).sum() <= 4
    assert 0.2 <= (planned_.latency_us > 1e5).mean() <= 0.6
    assert planned_.connections > closed.connections == 1


def test_a_server_that_never_answers_fails_every_planned_request() -> None:
    with stub_server(stalls()) as stub:
        run = open_loop(
            stub.url, [prepared()], rate=50, duration_s=0.4, warmup_s=0, timeout_s=0.3,
            connections=2,
        )  # fmt: skip
    assert run.requests == run.errors == run.planned == 20
    texts = " ".join(run.error_texts)
    assert "no whole answer within 0.3 s" in texts
    assert "not sent within 0.3 s of its planned time" in texts
    assert len(run.failed_s) == 20


def test_a_server_that_dies_fails_what_is_planned_and_ends_in_time() -> None:
    left = [GOOD] * 10
    dead = threading.Event()

    def answer(connection, request, over) -> None:
        if left:
            connection.sendall(left.pop())
        else:
            dead.set()
            hangs_up(connection, request, over)

    with stub_server(answer) as stub:
        run = open_loop(stub.url, [prepared()], rate=50, duration_s=1.0, warmup_s=0)
    assert dead.is_set()
    assert run.requests == run.planned == 50
    assert run.errors == 40


def test_nobody_listens_for_a_plan() -> None:
    with stub_server(hangs_up) as stub:
        url = stub.url
    with pytest.raises(ConnectionFailed, match="cannot connect to"):
        open_loop(url, [prepared()], rate=10, duration_s=0.2)


def test_errors_are_planned_requests_too() -> None:
    with stub_server(says(http(b'{"error":"busy"}', 503))) as stub:
        run = open_loop(stub.url, [prepared()], rate=40, duration_s=0.5, warmup_s=0.1)
    assert run.requests == run.errors == 20
    assert run.bad == 24  # the warm-up's too
    assert set(run.error_texts) == {"503 busy"}


def test_what_cannot_be_generated_is_said() -> None:
    """One process, at a rate that no Python reaches."""
    with stub_server(says(GOOD)) as stub:
        run = open_loop(
            stub.url, [prepared()], rate=2_000_000, duration_s=0.2, warmup_s=0, processes=1,
            timeout_s=0.5, connections=8,
        )  # fmt: skip
    assert run.errors
    assert "cannot generate 2e+06 requests/s on time" in run.lateness


def test_arguments_that_make_no_sense_are_refused() -> None:
    one = [prepared()]
    with pytest.raises(ValueError, match="and not both"):
        open_loop("http://x", one)
    with pytest.raises(ValueError, match="and not both"):
        open_loop("http://x", one, rate=1, trace=trace([0.0]))
    with pytest.raises(ValueError, match="needs duration_s"):
        open_loop("http://x", one, rate=1)
    with pytest.raises(ValueError, match="at least one request"):
        open_loop("http://x", [], rate=1, duration_s=1)
    with pytest.raises(ValueError, match="request rate"):
        open_loop("http://x", one, rate=0, duration_s=1)


class _Counters:
    """A server's statistics that a test sets."""

    def __init__(self, *success: int) -> None:
        self._left = list(success)

    def __call__(self) -> Reading:
        value = self._left.pop(0) if len(self._left) > 1 else self._left[0]
        return Reading(success=value)


@pytest.mark.parametrize(
    ("after", "told"),
    [(30, ""), (45, "somebody else asks"), (20, "something between answers by itself")],
)
def test_the_server_has_to_count_what_the_client_counts(after: int, told: str) -> None:
    with stub_server(says(GOOD)) as stub:
        run = closed_loop(
            stub.url, [prepared()], concurrency=1, count=30, warmup_s=0.0,
            counters=_Counters(100, 100, 100 + after),
        )  # fmt: skip
    assert run.good == 30
    assert [text for text in run.doubts if told in text] if told else run.doubts == ()


def test_counters_that_are_gone_make_no_number() -> None:
    def read() -> Reading:
        if stub.requests:
            raise ConnectionError("gone")
        return Reading()

    with stub_server(says(GOOD)) as stub:
        run = closed_loop(
            stub.url, [prepared()], concurrency=1, count=3, warmup_s=0.0, counters=read
        )
    assert run.served is None
    assert run.doubts == ("the server's counters could not be read: gone",)


def test_requests_in_flight_are_those_that_were_kept() -> None:
    """Exactly, however slow the first and the last ones were."""
    slow = [0.3, 0.0, 0.2]

    def answer(connection, request, over) -> None:
        over.wait(slow[len(stub.requests) % 3])
        connection.sendall(GOOD)

    with stub_server(answer) as stub:
        run = closed_loop(
            stub.url, [prepared()], concurrency=4, duration_s=0.5, warmup_s=0.1, check_every=1
        )
    assert in_flight(run) == pytest.approx(4, rel=0.1)
    assert in_flight(replace(run, latency_us=run.latency_us / 2)) < 3
