"""Metrics against statistics, and the families that a release has."""

from __future__ import annotations

from typing import Any

import pytest
from fake_triton import FakeTriton

from pytest_triton.agreeing import IN_A_ROW, settled
from pytest_triton.criteria import Inconclusive
from pytest_triton.monitor.expected import families_of
from pytest_triton.monitor.metrics import parse
from pytest_triton.monitor.truth import Look, disagreements, earlier_life
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
    reason = ',reason="BACKEND"' if family.endswith("_failure") else ""
    start = f'{family}{{model="scale",version="1"{reason}}} '
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


SCALE = ("scale", "1")
#: What a version did before it was loaded anew: 30 requests of 2 rows.
EARLIER = {
    "nv_inference_request_success": 30, "nv_inference_count": 60, "nv_inference_exec_count": 20,
    "nv_inference_request_duration_us": 90_000, "nv_inference_queue_duration_us": 10_000,
    "nv_inference_compute_input_duration_us": 5_000,
    "nv_inference_compute_infer_duration_us": 60_000,
    "nv_inference_compute_output_duration_us": 5_000,
}  # fmt: skip


def _look(fake: FakeTriton, ahead: dict[str, float]) -> Look:
    lines = []
    for line in fake.metrics().splitlines():
        series, _, value = line.rpartition(" ")
        family = series.partition("{")[0]
        if 'model="scale",version="1"' in series and "reason" not in series and family in ahead:
            line = f"{series} {float(value) + ahead[family]}"
        lines.append(line)
    scrape = parse("\n".join(lines) + "\n")
    return Look(scrape, fake.statistics(), fake.statistics())


def _answers(fake: FakeTriton) -> None:
    success, failed, inferences = fake.counts[SCALE]
    fake.counts[SCALE] = [success + 3, failed, inferences + 3]
    fake.sizes[SCALE] = {**fake.sizes[SCALE], 1: fake.sizes[SCALE].get(1, 0) + 3}


def _goes_on(fake: FakeTriton, ahead: dict[str, float], then: dict[str, float]) -> bool:
    early = _look(fake, ahead)
    _answers(fake)
    return earlier_life(early, _look(fake, then), SCALE)


def test_counters_that_outlive_a_load_are_no_contradiction(fake: FakeTriton) -> None:
    look = _look(fake, EARLIER)
    assert look.disagreements()
    assert look.versions() == {SCALE}
    assert _goes_on(fake, EARLIER, EARLIER)


@pytest.mark.parametrize("family", EARLIER)
def test_a_counter_that_stands_still_or_runs_ahead_is_one(fake: FakeTriton, family: str) -> None:
    for by in (50_000, -2000 if family.endswith("_us") else -9):
        assert not _goes_on(fake, EARLIER, {**EARLIER, family: EARLIER[family] + by}), by


@pytest.mark.parametrize(
    "ahead",
    [
        {"nv_inference_count": 1},
        {
            "nv_inference_request_success": 17,
            "nv_inference_count": 17,
            "nv_inference_exec_count": 17,
        },
        {"nv_inference_exec_count": -1},
        {**EARLIER, "nv_inference_request_success": 0},
        {**EARLIER, "nv_inference_request_duration_us": 90},
        {**EARLIER, "nv_inference_exec_count": 0},
        {**EARLIER, "nv_inference_exec_count": 900},
    ],
)
def test_a_constant_that_no_requests_explain_is_one(
    fake: FakeTriton, ahead: dict[str, float]
) -> None:
    assert not _goes_on(fake, ahead, ahead)


def test_without_requests_in_between_nothing_is_known(fake: FakeTriton) -> None:
    look = _look(fake, EARLIER)
    assert not earlier_life(look, look, SCALE)


def _never(look: Look, version: tuple[str, str]) -> bool:
    return False


def _while_answering(fake: FakeTriton, ahead: float) -> Look:
    """A look within which a request ends; the metrics are read before its end."""
    quiet = _look(fake, {"nv_inference_count": ahead})
    _answers(fake)
    return Look(quiet.scrape, quiet.before, fake.statistics())


def test_a_request_that_ends_within_a_look_does_not_hide_a_lie(fake: FakeTriton) -> None:
    looks = [_while_answering(fake, 1) for _ in range(IN_A_ROW - 1)]
    assert not looks[0].disagreements()

    def see() -> Look:
        return looks.pop(0) if looks else _look(fake, {"nv_inference_count": 1})

    found = settled(see, _never, patience=0.2)
    assert len(found) == 1
    assert found[0].startswith("scale:1 nv_inference_count is 33.0, the statistics say 32")


def test_a_server_that_others_use_has_to_agree_several_times(fake: FakeTriton) -> None:
    seen = []

    def see() -> Look:
        seen.append(_while_answering(fake, 0))
        return seen[-1]

    assert settled(see, _never) == []
    assert len(seen) == IN_A_ROW


def test_one_look_at_rest_is_enough(fake: FakeTriton) -> None:
    looks = [_look(fake, {"nv_inference_count": 1}), _look(fake, {})]
    assert settled(lambda: looks.pop(0), _never) == []
    assert not looks


def test_too_few_looks_at_a_server_in_use_are_no_pass(fake: FakeTriton) -> None:
    with pytest.raises(Inconclusive, match="have to agree"):
        settled(lambda: _while_answering(fake, 0), _never, patience=0.0)
