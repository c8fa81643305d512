"""Every answer of the analysis from numbers that have it, and from the nearest that have not."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from pytest_triton.bottleneck.causes import CAUSES, analyse, find
from pytest_triton.bottleneck.facts import Facts, Model, facts_of, model_of
from pytest_triton.bottleneck.table import BAR, bar, row
from pytest_triton.series import PARTS

PLAIN = Model("plain")


def level(concurrency: int = 4, *, rps: float = 100.0, **parts: float) -> Facts:
    """A level of 10 ms, of which ``parts`` name shares; the machine has room."""
    told = {name: 10.0 * parts.pop(name.replace(" ", "_"), 0.0) for name in PARTS}
    assert not parts
    return Facts(
        concurrency, rps, 10.0, told, mean_batch=1.0, busy=0.99, machine=0.3, others=0.0,
        server=0.2, work=0.9,
    )  # fmt: skip


QUEUE = level(queue=0.8, infer=0.2)
INFER = level(infer=1.0)
OUTSIDE = level(outside=0.9, infer=0.1)
LONE = level(1, infer=1.0)
CASES = [
    ("errors", replace(QUEUE, errors=0.02), PLAIN),
    ("client", replace(OUTSIDE, client=0.85), PLAIN),
    ("cache", replace(QUEUE, hits=0.9), PLAIN),
    ("network", replace(OUTSIDE, concurrency=1), PLAIN),
    ("gateway", OUTSIDE, PLAIN),
    ("front end", level(front_end=0.7, infer=0.3), PLAIN),
    ("delay", replace(QUEUE, busy=0.1), Model("waits", 8, True, 8.0)),
    ("batching", QUEUE, Model("single", 8)),
    ("scheduler", replace(QUEUE, busy=0.3), Model("seated", limited=True)),
    ("instances", QUEUE, PLAIN),
    ("instances", QUEUE, Model("sequences", 8, sequences=True)),
    ("processor", replace(QUEUE, machine=0.97), PLAIN),
    ("processor", replace(INFER, machine=0.97), PLAIN),
    ("processor", replace(OUTSIDE, machine=0.97, work=0.01, server=0.3), PLAIN),
    ("neighbours", replace(INFER, machine=0.97, others=0.5), PLAIN),
    ("gpu", replace(QUEUE, gpu=0.95), PLAIN),
    ("gpu", replace(INFER, gpu=0.95), PLAIN),
    ("input", level(input=0.6, infer=0.4), PLAIN),
    ("output", level(output=0.6, infer=0.4), PLAIN),
    ("model", INFER, PLAIN),
    ("steps", level(front_end=1.0), Model("chain", steps=("one", "two"))),
    ("unknown", replace(INFER, parts_ms={}), PLAIN),
]


@pytest.mark.parametrize(("key", "seen", "model"), CASES)
def test_a_cause_is_found(key: str, seen: Facts, model: Model) -> None:
    alone = replace(LONE, concurrency=1)
    found = find(seen, seen if seen.concurrency == 1 else alone, model)
    assert found.cause.key == key, found
    assert found.because


def test_every_cause_has_its_case() -> None:
    assert {key for key, _, _ in CASES} | {"none"} == set(CAUSES)


@pytest.mark.parametrize(
    ("seen", "model", "key"),
    [
        # the machine is full of others, and executions sleep: processors are not what they lack
        (replace(INFER, machine=1.0, others=0.9, work=0.02, server=0.02), PLAIN, "model"),
        (replace(QUEUE, machine=1.0, others=0.9, work=0.02, server=0.02), PLAIN, "instances"),
        # waiting for longer than the delay is not waiting for others
        (replace(QUEUE, busy=0.1), Model("waits", 8, True, 2.0), "scheduler"),
        # dynamic batching is on: more instances
        (QUEUE, Model("batches", 8, True), "instances"),
        # one request cannot exhaust a card that it uses alone
        (replace(INFER, concurrency=1, gpu=0.95), PLAIN, "model"),
        # the way is as long as it is for one request alone
        (OUTSIDE, PLAIN, "network"),
        (replace(QUEUE, busy=math.nan), PLAIN, "instances"),
    ],
)
def test_what_looks_alike_is_told_apart(seen: Facts, model: Model, key: str) -> None:
    alone = replace(seen, concurrency=1)
    assert find(seen, alone, model).cause.key == key


def test_what_still_grows_has_no_limit_yet() -> None:
    slow = replace(QUEUE, concurrency=1)
    fast = replace(QUEUE, throughput_rps=150.0, busy=0.5)
    assert analyse([slow, fast], PLAIN).throughput.cause.key == "none"
    assert analyse([fast, slow], PLAIN).throughput.cause.key == "none"  # in any order
    assert analyse(
        [slow, replace(fast, throughput_rps=110.0, busy=0.99)], PLAIN
    ).throughput.cause.key == ("instances")
    # a light level that was disturbed: instances are busy, and batches do not grow
    assert analyse([slow, replace(fast, busy=0.99)], PLAIN).throughput.cause.key == "instances"
    larger = replace(fast, busy=0.99, mean_batch=2.0)
    assert analyse([slow, larger], PLAIN).throughput.cause.key == "none"
    # failing faster is no growth
    assert analyse([slow, replace(fast, errors=0.5)], PLAIN).throughput.cause.key == "errors"
    one = replace(INFER, concurrency=1, busy=0.5)
    assert analyse([one], Model("roomy", instances=4)).throughput.cause.key == "none"
    with pytest.raises(ValueError, match="no level"):
        analyse([], PLAIN)


def test_parts_that_are_nearly_as_large_are_told() -> None:
    found = find(level(queue=0.52, infer=0.48), LONE, PLAIN)
    assert found.cause.key == "instances"
    assert found.also == ("infer",)
    assert find(level(queue=0.6, infer=0.4), LONE, PLAIN).also == ()


def test_a_configuration_is_read() -> None:
    found = model_of({
        "name": "m", "max_batch_size": 8,
        "dynamic_batching": {"max_queue_delay_microseconds": "2500"},
        "instance_group": [
            {"kind": "KIND_GPU", "count": 2, "gpus": [0, 1],
             "rate_limiter": {"resources": [{"name": "R", "count": 1}]}},
        ],
    })  # fmt: skip
    assert found == Model("m", 8, True, 2.5, 4, limited=True, gpu=True)
    assert model_of({"name": "m"}) == Model("m")


def test_a_bar_is_as_long_as_it_says() -> None:
    for seen in (QUEUE, INFER, level(outside=0.01, queue=0.33, infer=0.66), OUTSIDE):
        assert len(bar(seen)) == BAR
    assert bar(QUEUE) == "q" * 24 + "m" * 6
    assert "–" in row(replace(QUEUE, busy=math.nan))
    assert "does not tell" in bar(replace(QUEUE, parts_ms={}))


def test_a_run_without_answers_has_no_parts() -> None:
    from collections import Counter

    import numpy as np

    from pytest_triton.load.result import LoadResult

    none = LoadResult(
        3, 3, 0, 0, 1.0, 0.0, np.empty(0), np.empty(0), 0.0, 1.0, 4, Counter({"503": 3})
    )
    found = facts_of(none, 1, cores=2)
    assert found.errors == 1.0
    assert not found.parts_ms
    assert find(found, found, PLAIN).cause.key == "errors"
