"""Metrics against statistics, and the families that a release has."""

from __future__ import annotations

from typing import Any

import pytest
from fake_triton import FakeTriton

from pytest_triton.monitor.expected import families_of
from pytest_triton.monitor.metrics import parse
from pytest_triton.monitor.truth import disagreements
from pytest_triton.probe.types import MalformedAnswer


@pytest.fixture
def fake() -> FakeTriton:
    fake = FakeTriton()
    fake.counts["scale", "1"] = [7, 2, 20]
    fake.sizes["scale", "1"] = {4: 5}
    return fake


def test_equal_counters(fake: FakeTriton) -> None:
    assert disagreements(parse(fake.metrics()), fake.statistics()) == []


@pytest.mark.parametrize(
    "family",
    [
        "nv_inference_request_success",
        "nv_inference_request_failure",
        "nv_inference_count",
        "nv_inference_exec_count",
        "nv_inference_queue_duration_us",
    ],
)
def test_each_lie_is_found(fake: FakeTriton, family: str) -> None:
    start = f'{family}{{model="scale",version="1"}} '
    lies = "".join(
        f"{start}99\n" if line.startswith(start) else f"{line}\n"
        for line in fake.metrics().splitlines()
    )
    found = disagreements(parse(lies), fake.statistics())
    assert len(found) == 1
    assert found[0].startswith(f"scale:1 {family} is 99")


def test_a_missing_series_is_zero(fake: FakeTriton) -> None:
    empty = parse("")
    fake.counts["scale", "1"] = [0, 0, 0]
    fake.sizes.clear()
    assert disagreements(empty, fake.statistics()) == []
    fake.counts["echo", "1"] = [1, 0, 1]
    found = disagreements(empty, fake.statistics())
    assert "echo:1 nv_inference_count is None, the statistics say 1" in found


def test_while_others_call_a_counter_lies_between_two_readings(fake: FakeTriton) -> None:
    before = fake.statistics()
    fake.counts["scale", "1"] = [9, 2, 22]
    fake.sizes["scale", "1"] = {4: 5, 1: 2}
    scrape = parse(fake.metrics())
    assert disagreements(scrape, before)
    fake.counts["scale", "1"] = [12, 3, 25]
    fake.sizes["scale", "1"] = {4: 5, 1: 5}
    after = fake.statistics()
    assert disagreements(scrape, before, after) == []
    assert disagreements(scrape, after, after)


@pytest.mark.parametrize("value", ["1", None, -1, True, 2.5, float("nan"), [], 10**30])
@pytest.mark.parametrize(
    "path", [(), ("inference_count",), ("inference_stats", "queue", "ns"), ("name",)]
)
def test_nonsense_is_a_fault_of_the_statistics(
    fake: FakeTriton, value: object, path: tuple[str, ...]
) -> None:
    if path == ("name",) and value == "1":
        return
    told: Any = fake.statistics()
    place = told["model_stats"]
    for key in (0, *path)[:-1]:
        place = place[key]
    place[(0, *path)[-1]] = value
    with pytest.raises(MalformedAnswer, match="statistics cannot be read"):
        disagreements(parse(""), told)


def test_families() -> None:
    assert "nv_pinned_memory_pool_used_bytes" in families_of("24.07")
    assert "nv_pinned_memory_pool_used_bytes" not in families_of("23.10")
    assert set(families_of(None)) == set(families_of("23.10"))
