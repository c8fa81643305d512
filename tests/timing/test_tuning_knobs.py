"""Settings of a configuration, how each is taken back, and when one pays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_triton.gaining import ModelGain
from pytest_triton.load.gain import Gain
from pytest_triton.load.serverside import Reading
from pytest_triton.repository.config import parse_config
from pytest_triton.tuning.ablated import Effect
from pytest_triton.tuning.knobs import Knob, knobs_of

FULL = """
name: "m"
max_batch_size: 8
dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100 }
instance_group [ { count: 2 }, { count: 1 } ]
parameters { key: "INTRA_OP_THREAD_COUNT" value: { string_value: "1" } }
optimization { graph { level: 1 } }
model_warmup [ { name: "w" batch_size: 1 } ]
response_cache { enable: true }
"""


def test_every_setting_is_found_and_taken_back() -> None:
    names = [knob.name for knob in knobs_of(parse_config(FULL))]
    assert names == [
        "dynamic_batching", "preferred_batch_size", "max_queue_delay_microseconds",
        "instance_group", "parameters INTRA_OP_THREAD_COUNT", "optimization",
    ]  # fmt: skip
    for name in names:
        config = parse_config(FULL)
        next(knob for knob in knobs_of(config) if knob.name == name).revert(config)
        left = [knob.name for knob in knobs_of(config)]
        assert name not in left
        lost = {"preferred_batch_size", "max_queue_delay_microseconds"}
        expected = [one for one in names if one != name]
        if name == "dynamic_batching":
            expected = [one for one in expected if one not in lost]
        assert left == expected


def test_a_minimal_configuration_has_no_setting() -> None:
    assert (
        knobs_of(parse_config('name: "m"\nmax_batch_size: 8\ninstance_group [ { count: 1 } ]'))
        == []
    )


EFFECT = Effect(
    "m", Knob("x", "1", lambda config: None), 8, 1.0, (0.9, 1.1), 1.0, (0.9, 1.1), (1.0,), (1.0,)
)


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"throughput": 1.3, "throughput_interval": (1.1, 1.5)}, "pass"),
        ({"throughput": 1.3, "throughput_interval": (0.9, 1.7)}, "inconclusive"),
        ({"throughput": 1.02, "throughput_interval": (1.01, 1.03)}, "inconclusive"),
        ({"throughput": 1.02, "throughput_interval": (1.01, 1.03),
          "latency_interval": (0.98, 1.02)}, "fail"),
        ({"latency": 0.8, "latency_interval": (0.7, 0.9)}, "pass"),
        ({"throughput": 0.5, "throughput_interval": (0.4, 0.6),
          "latency_interval": (0.99, 1.01)}, "fail"),
    ],
)  # fmt: skip
def test_when_a_setting_pays(change: dict[str, object], verdict: str) -> None:
    assert replace(EFFECT, **change).verdict == verdict  # type: ignore[arg-type]


CONTROL = Reading(success=100, batches={1: 100}, batch_ns={1: int(1e9)})
TREATED = Reading(success=100, batches={10: 10}, batch_ns={10: int(2e8)})
GAIN = ModelGain(
    "m", 16, Gain((3.0,), 3.0, 3.0, (2.5, 3.5), (1.0,), (3.0,), (), CONTROL, TREATED),
    {1: 1.0, 2: 1.1, 8: 1.6},
)  # fmt: skip


def test_a_gain_by_batches_has_no_objection() -> None:
    assert GAIN.objection == ""


@pytest.mark.parametrize(
    ("gain", "rows", "told"),
    [
        ({"served_b": Reading()}, None, "show no execution"),
        ({"served_b": Reading(batches={1: 90, 2: 5})}, None, "whatever is faster"),
        ({"served_a": Reading(batches={2: 50})}, None, "the mean batch is still 2.00"),
        ({"served_b": replace(TREATED, cache_hits=3)}, None, "response cache"),
        ({}, {1: 3.0, 2: 1.1, 8: 1.6}, "single rows are slowed down"),
    ],
)
def test_a_gain_by_other_means_is_objected_to(
    gain: dict[str, Reading], rows: dict[int, float] | None, told: str
) -> None:
    made = replace(GAIN, gain=replace(GAIN.gain, **gain), rows_ms=rows or GAIN.rows_ms)  # type: ignore[arg-type]
    assert told in made.objection
