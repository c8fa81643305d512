"""Records: what is written is read back, and what is no record is named."""

from __future__ import annotations

import json
import math

import pytest

from pytest_triton.errors import ToolError
from pytest_triton.load.records import Record, from_json, to_json

LATENCY = {"mean": 1500.0, "p50": 1400.0, "p90": 1900.0, "p95": 2000.0, "p99": 2600.0}


def test_a_record_is_read_back_as_it_was_written() -> None:
    made = [
        Record("http", 100, 1, 2.0, 50.0, LATENCY, concurrency=8, model="mlp", engine="x",
               server={"mean_batch": 2.5}, more={"foreign_cpu": 0.25}),
        Record("grpc", 10, 0, 1.0, 10.0, LATENCY, request_rate=200.0),
    ]  # fmt: skip
    assert from_json(to_json(made)) == made
    assert [record.load for record in made] == ["concurrency 8", "200 requests/s"]


def test_what_was_not_measured_is_null_and_no_number() -> None:
    text = to_json([Record("http", 0, 0, 1.0, 0.0, {"mean": math.nan}, concurrency=1)])
    assert json.loads(text)[0]["latency_us"] == dict.fromkeys(LATENCY)
    assert math.isnan(from_json(text)[0].latency_us["p50"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"latency_us": 3}, "record 0: latency_us is missing"),
        ({"requests": -1}, "requests is -1"),
        ({"requests": True}, "requests is True"),
        ({"duration_s": "2"}, "duration_s is '2'"),
        ({"request_rate": 5}, "one of concurrency and request_rate"),
    ],
)
def test_what_is_no_record_is_refused_with_its_place(change: dict[str, object], told: str) -> None:
    good = Record("http", 1, 0, 1.0, 1.0, LATENCY, concurrency=1).to_json()
    with pytest.raises(ToolError, match=told):
        from_json(json.dumps([good | change]))
