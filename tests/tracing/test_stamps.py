"""What a trace of a request has to hold, and what is told when it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tracing_made import MS, asked, changed, ensemble, stamps, trace, without

from pytest_triton.probe_set import CHAIN, SLOW
from pytest_triton.tracing.agreement import RELEASE_NS, Counted, disagreements, missing, overlaps
from pytest_triton.tracing.asked import GRPC
from pytest_triton.tracing.sampling import Sampled
from pytest_triton.tracing.stamps import ORDER, STAGES, request_flaws

STEPS = asked(CHAIN)


def test_a_whole_trace_has_no_flaw() -> None:
    assert not request_flaws(asked(), trace(1, 10), [])
    top, steps = ensemble()
    assert not request_flaws(STEPS, top, steps)
    more = replace(top, stamps=(*top.stamps, ("SOMETHING_NEW", 1)))
    assert not request_flaws(STEPS, more, steps), "a later release may tell more"


@pytest.mark.parametrize(
    ("made", "flaw"),
    [
        (trace(1, 10, model="other"), "is of model 'other'"),
        (trace(1, 10, version=2), "is of version 2, served is 1"),
        (trace(1, 10, request_id="s"), "has the request id 's'"),
        (replace(trace(1, 10), parent=7), "has parent 7, though it has none"),
        (without(trace(1, 10), "QUEUE_START"), "has no QUEUE_START"),
        (replace(trace(1, 10), stamps=trace(1, 10).stamps * 2), "has 2 times REQUEST_START"),
        (changed(trace(1, 10), COMPUTE_END=13), "has COMPUTE_END 1.000 ms before COMPUTE_OUTPUT_START"),
        (changed(trace(1, 10), REQUEST_END=14), "has REQUEST_END 1.000 ms before COMPUTE_END"),
        (changed(trace(1, 10), HTTP_RECV_END=10.5), "has REQUEST_START 0.500 ms before HTTP_RECV_END"),
        (changed(trace(1, 10), INFER_RESPONSE_COMPLETE=12.5), "before COMPUTE_INPUT_END"),
        (changed(trace(1, 10), HTTP_SEND_START=15.5), "before INFER_RESPONSE_COMPLETE"),
        (changed(trace(1, 10), HTTP_SEND_END=16.5), "before HTTP_SEND_START"),
        (changed(trace(1, 10), HTTP_SEND_START=130, HTTP_SEND_END=131), "its client waited 100"),
    ],
)  # fmt: skip
def test_flaws_of_a_trace(made, flaw: str) -> None:
    told = request_flaws(asked(), made, [])
    assert flaw in "; ".join(told), told


def test_another_front_end_has_other_timestamps() -> None:
    told = request_flaws(asked(protocol=GRPC), trace(1, 10), [])
    assert "has no GRPC_SEND_START" in told


def test_a_model_that_sleeps_less_than_it_should() -> None:
    made = trace(1, 10, model=SLOW)
    assert not request_flaws(asked(SLOW, busy=MS), made, [])
    (told,) = request_flaws(asked(SLOW, busy=2 * MS), made, [])
    assert told == "was executed for 1.000 ms, though the model sleeps 2.000 ms"


def test_flaws_of_steps() -> None:
    top, steps = ensemble()
    one, two = steps
    for wrong, flaw in (
        ([one], "has the steps"),
        ([one, replace(two, parent=9)], "step 2: has parent 9, the ensemble is 1"),
        ([one, without(two, "COMPUTE_END")], "step 2: has no COMPUTE_END"),
        ([changed(one, REQUEST_START=9), two], "step 1: starts before its ensemble"),
        ([one, changed(two, REQUEST_END=41)], "step 2: ends after its ensemble"),
        ([one, changed(two, REQUEST_START=15)], "step 2: starts before the step before"),
        ([replace(one, request_id="x"), two], "step 1: has the request id 'x'"),
    ):
        told = request_flaws(STEPS, top, wrong)
        assert flaw in "; ".join(told), (flaw, told)


def test_what_may_overlap() -> None:
    """An answer is sent, and the next step starts, before an execution has ended."""
    top, (one, two) = ensemble()
    assert not request_flaws(STEPS, top, [one, changed(two, REQUEST_START=17.5)])
    assert not request_flaws(asked(), changed(trace(1, 10), INFER_RESPONSE_COMPLETE=13.1), [])


def counted(traces, requests: int | None = None, **more: float) -> Counted:
    from pytest_triton.load.serverside import Reading

    spent = {stage: sum(t.lasts(*between) for t in traces) for stage, between in STAGES.items()}
    whole = sum(made.lasts("REQUEST_START", "REQUEST_END") for made in traces)
    count = len(traces) if requests is None else requests
    told = {"success": whole, **spent}
    metrics = {name: more.get(name, ns // 1000) for name, ns in told.items()}
    return Counted(Reading(count, request_ns=whole, stages_ns=spent), count, metrics)


def test_times_agree_to_a_microsecond_each() -> None:
    traces = [trace(1, 10), trace(2, 40)]
    assert not missing(traces)
    assert not disagreements(traces, counted(traces), aside=True)
    whole = sum(made.lasts("COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START") for made in traces) / 1000
    assert not disagreements(traces, counted(traces, compute_infer=whole - 2), aside=True)
    for wrong in (whole - 2.1, whole + 2.1, 0.0, whole * 1000):
        (told,) = disagreements(traces, counted(traces, compute_infer=wrong), aside=True)
        assert told.startswith("compute_infer: ")
        assert told.endswith("in the metrics")


def test_requests_may_be_released_a_little_later() -> None:
    made = [trace(1, 10)]
    told = counted(made)
    late = [changed(made[0], REQUEST_END=16 + 0.9 * RELEASE_NS / MS)]
    assert not disagreements(late, told, aside=True)
    later = [changed(made[0], REQUEST_END=16 + 1.1 * RELEASE_NS / MS)]
    assert [text[:8] for text in disagreements(later, told, aside=True)] == ["request:"] * 2
    assert not disagreements(later, told, aside=False), "exported within the request"
    early = [changed(made[0], REQUEST_END=15.9)]
    for aside in (True, False):
        assert len(disagreements(early, told, aside=aside)) == 2


def test_requests_that_are_counted_otherwise() -> None:
    made = [trace(1, 10)]
    told = disagreements(made, counted(made, requests=2), aside=True)
    assert told == [
        f"the {who} count 2 requests, 1 are traced" for who in ("statistics", "metrics")
    ]
    assert missing([without(made[0], "COMPUTE_END")]) == ["trace 1 has no COMPUTE_END"]


def test_executions_of_one_instance_do_not_overlap() -> None:
    busy = [asked(SLOW, busy=5 * MS)] * 2
    assert not overlaps([trace(2, 15), trace(1, 10)], busy)
    (told,) = overlaps([trace(2, 14), trace(1, 10)], busy)
    assert "start 4.000 ms apart" in told


@pytest.mark.parametrize(
    ("traced", "flaw"),
    [
        ([2, 5, 8], ""),
        ([0, 3, 6], ""),
        ([2, 5], "rate 3: of 9 requests 2 are traced, not 3"),
        ([2, 3, 8], "numbers 3, 4, 9 are traced, not every 3."),
        ([], "0 are traced"),
    ],
)
def test_every_third_request(traced: list[int], flaw: str) -> None:
    told = Sampled("rate 3", [asked()] * 9, 3, 3).flaw(traced)
    assert flaw in told
    assert bool(flaw) == bool(told)


def test_the_order_is_that_of_the_guide() -> None:
    assert ORDER == (
        "REQUEST_START", "QUEUE_START", "COMPUTE_START", "COMPUTE_INPUT_END",
        "COMPUTE_OUTPUT_START", "COMPUTE_END", "REQUEST_END",
    )  # fmt: skip
    assert dict(stamps(ORDER, 0))["REQUEST_END"] == 6 * MS
