"""Stage 04: which event moves which counter, and by how much."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pytest_triton.abandoning import BUSY_MS, PATIENCE, behind, both_leave, given_up, waiting
from pytest_triton.backlog import CROWD, WAITING, Turn, crowd, turn
from pytest_triton.criteria import Inconclusive
from pytest_triton.evidence import Evidence
from pytest_triton.metered import (
    PENDING,
    SUCCESS,
    TRIES,
    Added,
    failed,
    mended_since,
    require,
    rises,
)
from pytest_triton.model_errors import MODEL_ERRORS, RAISES, code
from pytest_triton.probe.http import wait_until
from pytest_triton.probe.types import ConnectionFailed, RequestFailed
from pytest_triton.probe_set import (
    ADDSUB,
    BROKEN_CHAIN,
    CACHED,
    FAILING,
    QUEUE,
    SEQUENCE,
    SLOW,
    STREAM,
    WARM,
)
from pytest_triton.streaming import PAUSE_MS, leave_after_first, stream_inputs
from pytest_triton.subject import Subject

NOBODY, ABSENT = "pytest_triton_no_such_model", "999999937"
#: First release that counts an execution that raises.
COUNTS_RAISED_SINCE = "24.07"


def refused(call: Callable[[], object]) -> None:
    """AssertionError when a request is answered that has to be refused."""
    try:
        call()
    except RequestFailed:
        return
    raise AssertionError("it is answered, not refused")


def _pair(rows: int = 1) -> dict[str, np.ndarray]:
    return {name: np.zeros((rows, 16), np.int32) for name in ("INPUT0", "INPUT1")}


def _wrong(subject: Subject) -> dict[str, Callable[[], object]]:
    """Requests that the server refuses before a model sees them."""
    infer, pair = subject.http.infer, _pair()
    other = {**pair, "INPUT1": pair["INPUT1"].astype(np.float32)}
    return {
        "a wrong datatype": lambda: infer(ADDSUB, other),
        "a wrong shape": lambda: infer(ADDSUB, {name: x[:, 1:] for name, x in pair.items()}),
        "a batch too big": lambda: infer(ADDSUB, _pair(9)),
        "an unknown input": lambda: infer(ADDSUB, {**pair, "NONE": pair["INPUT0"]}),
        "an unknown output": lambda: infer(ADDSUB, pair, outputs=["NONE"]),
        "an unknown version": lambda: infer(ADDSUB, pair, version=ABSENT),
        "an unknown model": lambda: infer(NOBODY, pair),
        "a stream over HTTP": lambda: infer(STREAM, stream_inputs("x", 1)),
        "a sequence without an id": lambda: infer(SEQUENCE, {"INPUT": np.ones((1, 1), np.int32)}),
        "a sequence without a start": lambda: infer(
            SEQUENCE,
            {"INPUT": np.ones((1, 1), np.int32)},
            parameters={"sequence_id": secrets.randbits(30) + 1},
        ),
    }


@pytest.mark.clause("MTR-17")
def test_refused_requests(triton_probes: Subject, triton_evidence: Evidence) -> None:
    models = (ADDSUB, STREAM, SEQUENCE)

    def act() -> Sequence[Added]:
        for what, call in _wrong(triton_probes).items():
            with triton_evidence.case(what):
                refused(call)
        return [dict.fromkeys(models, rises())]

    with triton_evidence.case("counters"):
        require(triton_probes, triton_evidence, "refused requests", models, act)
        told = triton_probes.scrape().value(SUCCESS, model=NOBODY)
        assert told is None, f"{NOBODY} is no model, and has a series {SUCCESS}"


@pytest.mark.clause("MTR-18")
def test_errors_in_responses(triton_probes: Subject, triton_evidence: Evidence) -> None:
    number = MODEL_ERRORS["INTERNAL"].code

    def act() -> Sequence[Added]:
        refused(lambda: triton_probes.http.infer(FAILING, code(number)))
        as_failure = {**rises(executions=1), **failed(triton_probes, "BACKEND", 1)}
        if not triton_probes.failures_have_reasons:
            return [{FAILING: as_failure}]
        as_success = {FAILING: rises(1, 1, 1)}
        return [as_success, {FAILING: as_failure}] if mended_since(triton_probes) else [as_success]

    require(triton_probes, triton_evidence, "an error in a response", [FAILING], act)


@pytest.mark.clause("MTR-19")
def test_full_queue(triton_probes: Subject, triton_evidence: Evidence) -> None:
    def act() -> Sequence[Added]:
        first = turn(triton_probes, 0, model=QUEUE)
        outcomes = crowd(triton_probes)
        last = turn(triton_probes, 0, model=QUEUE)
        refusals = sum(isinstance(each, RequestFailed) for each in outcomes)
        assert refusals, f"all of {CROWD} requests are answered, one may wait behind the first"
        count = last.number - first.number + 1  # the model's own account, with the first
        answered = rises(count, count, count)
        told = {**answered, **failed(triton_probes, "REJECTED", refusals)}
        return [{QUEUE: answered}, {QUEUE: told}][: 1 + mended_since(triton_probes)]

    require(triton_probes, triton_evidence, "a full queue", [QUEUE], act)


@pytest.mark.clause("MTR-20")
def test_timeout_in_queue(triton_probes: Subject, triton_evidence: Evidence) -> None:
    def act() -> Sequence[Added] | None:
        outcome, _ = behind(
            triton_probes, lambda: turn(triton_probes, 0, parameters={"timeout": 50_000})
        )
        if not isinstance(outcome, RequestFailed):
            return None
        return [{SLOW: {**rises(1, 1, 1), **failed(triton_probes, "REJECTED", 1)}}]

    require(triton_probes, triton_evidence, "a time-out in the queue", [SLOW], act, tries=TRIES)


@pytest.mark.clause("MTR-21")
def test_cancelled_in_queue(triton_probes: Subject, triton_evidence: Evidence) -> None:
    grpc = triton_probes.grpc
    assert grpc is not None

    def act() -> Sequence[Added] | None:
        outcome, in_time = behind(
            triton_probes, lambda: turn(triton_probes, 0, protocol=grpc, timeout=PATIENCE)
        )
        if not in_time or not isinstance(outcome, ConnectionFailed):
            return None
        return [{SLOW: {**rises(1, 1, 1), **failed(triton_probes, "CANCELED", 1)}}]

    require(triton_probes, triton_evidence, "cancelled in the queue", [SLOW], act, tries=TRIES)


@pytest.mark.clause("MTR-22")
def test_clients_that_leave(triton_probes: Subject, triton_evidence: Evidence) -> None:
    grpc = triton_probes.grpc
    assert grpc is not None

    def stream() -> None:
        inputs = stream_inputs("mtr-22", 10, PAUSE_MS)
        leave_after_first(grpc.stream_infer(STREAM, inputs, request_id="mtr-22"))

    def at_once() -> Sequence[Added] | None:
        with ThreadPoolExecutor(1) as pool:
            streamed = pool.submit(stream)
            left = both_leave(triton_probes)
            streamed.result()
        return [{SLOW: rises(2, 2, 2), STREAM: rises(1, 1, 1)}] if left else None

    def over_grpc() -> Sequence[Added] | None:
        outcome = given_up(lambda: turn(triton_probes, BUSY_MS, protocol=grpc, timeout=PATIENCE))
        return None if isinstance(outcome, Turn) else [{SLOW: rises(1, 1, 1)}]

    for what, models, act in (
        ("gone over HTTP, and from a stream", [SLOW, STREAM], at_once),
        ("gone from an execution over gRPC", [SLOW], over_grpc),
    ):
        with triton_evidence.case(what):
            require(triton_probes, triton_evidence, what, models, act, tries=TRIES)


@pytest.mark.clause("MTR-23")
def test_failing_step(triton_probes: Subject, triton_evidence: Evidence) -> None:
    models = (BROKEN_CHAIN, FAILING, WARM)
    release = triton_probes.release
    raised = 1 if release is None or release >= COUNTS_RAISED_SINCE else 0

    def fail() -> Sequence[Added]:
        refused(lambda: triton_probes.http.infer(BROKEN_CHAIN, code(RAISES)))
        step = {**rises(executions=raised), **failed(triton_probes, "BACKEND", 1)}
        # The step's failure and the request's own are both counted, from 24.07 on.
        times = (2, 1) if triton_probes.failures_have_reasons else (1,)
        return [
            {BROKEN_CHAIN: failed(triton_probes, "OTHER", count), FAILING: step, WARM: rises()}
            for count in (times if mended_since(triton_probes) else times[:1])
        ]

    def succeed() -> Sequence[Added]:
        triton_probes.http.infer(BROKEN_CHAIN, code(0))
        return [{BROKEN_CHAIN: rises(1, 1, 1), FAILING: rises(1, 1, 1), WARM: rises(1, 1, 1)}]

    with triton_evidence.case("a step fails"):
        require(triton_probes, triton_evidence, "a failing step", models, fail)
    with triton_evidence.case("all steps succeed"):
        require(triton_probes, triton_evidence, "a good chain", models, succeed)


@pytest.mark.clause("MTR-24")
def test_cache(triton_probes: Subject, triton_evidence: Evidence) -> None:
    sent = {"IN": np.array([secrets.randbits(30)], np.int32)}

    def ask(added: Added) -> Callable[[], Sequence[Added]]:
        def act() -> Sequence[Added]:
            triton_probes.http.infer(CACHED, sent)
            return [added]

        return act

    for what, added in (
        ("a cache miss", rises(1, 1, 1, misses=1)),
        ("a cache hit", rises(1, hits=1)),
    ):
        with triton_evidence.case(what):
            require(triton_probes, triton_evidence, what, [CACHED], ask({CACHED: added}))


@pytest.mark.clause("MTR-25")
def test_who_waits(triton_probes: Subject, triton_evidence: Evidence) -> None:
    def pending() -> float | None:
        return triton_probes.scrape().value(PENDING, model=SLOW)

    for _ in range(TRIES):
        seen, in_time = waiting(triton_probes, WAITING, pending)
        told = [value for value in seen if value is not None]
        assert told, f"{PENDING} has no series"
        if in_time or max(told) >= WAITING:
            break
    else:
        raise Inconclusive(f"the machine is too slow for {WAITING} requests to wait together")
    triton_evidence.measure("most that waited", max(told), "requests", budget=WAITING)
    assert max(told) == WAITING, (
        f"{WAITING} requests wait behind one, {PENDING} is {max(told):g} at most"
    )
    assert wait_until(lambda: pending() == 0, timeout=5), f"{pending():g} requests stay pending"
