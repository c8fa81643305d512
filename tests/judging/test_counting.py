"""Three witnesses: whoever lies is named, and the requests of others are nobody's lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from fake_triton import FakeTriton, fake_triton

from pytest_triton import counting
from pytest_triton.counting import Batches, Counts, Observation, observe, statistics
from pytest_triton.criteria import Inconclusive
from pytest_triton.deployment import Deployment
from pytest_triton.probe.types import MalformedAnswer
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject

OURS, OTHERS = (SimpleNamespace(deployment=SimpleNamespace(owned=owned)) for owned in (True, False))
SENT = Counts(success=5, failure=1, inferences=10, executions=5)


def _seen(by_statistics: Counts, by_metrics: Counts | None) -> Observation:
    return Observation(SENT, by_statistics, by_metrics, Batches({2: 5}), "cut off")


@pytest.mark.parametrize("owned", [OURS, OTHERS])
def test_witnesses_that_agree(owned: Any) -> None:
    for name in ("statistics", "metrics"):
        _seen(SENT, replace(SENT, executions=1)).require(owned, name)


@pytest.mark.parametrize("key", ["success", "failure", "inferences"])
@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize("owned", [OURS, OTHERS])
def test_a_single_liar_is_named(key: str, by: int, owned: Any) -> None:
    lie = replace(SENT, **{key: getattr(SENT, key) + by})
    told = f"counts {getattr(lie, key)} {key}, the client {getattr(SENT, key)}"
    with pytest.raises(AssertionError, match=f"statistics {told}"):
        _seen(lie, SENT).require(owned, "statistics")
    _seen(lie, SENT).require(owned, "metrics")
    with pytest.raises(AssertionError, match=f"metrics {told}"):
        _seen(SENT, lie).require(owned, "metrics")
    _seen(SENT, lie).require(owned, "statistics")


def test_both_wrong_on_a_server_of_ours_is_a_fault() -> None:
    more = replace(SENT, success=6)
    with pytest.raises(AssertionError):
        _seen(more, more).require(OURS, "statistics")


@pytest.mark.parametrize("name", ["statistics", "metrics"])
def test_requests_of_others_prove_nothing(name: str) -> None:
    # Read one after the other, so not the same while others call.
    one, two = (Counts(5 + more, 1, 10 + more) for more in (3, 4))
    with pytest.raises(Inconclusive, match="others use this server too"):
        _seen(one, two).require(OTHERS, name)
    less = replace(SENT, success=4)
    with pytest.raises(AssertionError, match="counts 4 success"):  # others only ever add
        _seen(less, less).require(OTHERS, name)


def test_without_a_second_witness_an_excess_is_nobodys_fault() -> None:
    more = replace(SENT, success=9, inferences=14)
    with pytest.raises(Inconclusive, match="no metrics tell"):
        _seen(more, None).require(OTHERS, "statistics")
    with pytest.raises(AssertionError):
        _seen(more, None).require(OURS, "statistics")
    with pytest.raises(AssertionError, match="metrics cannot be read: cut off"):
        _seen(SENT, None).require(OTHERS, "metrics")


def test_batches() -> None:
    batches = Batches({1: 4, 4: 3}) - Batches({1: 2})
    assert (batches.count, batches.rows, batches.mean) == (5, 14, 2.8)
    assert Batches({}).mean != Batches({}).mean


@pytest.fixture
def fake() -> Iterator[FakeTriton]:
    with fake_triton() as fake:
        yield fake


@pytest.fixture
def subject(fake: FakeTriton) -> Iterator[Subject]:
    deployment = Deployment("endpoint", fake.url, metrics_url=fake.metrics_url)
    subject = Subject(deployment, Settings(url=fake.url, allow_load=1))
    yield subject
    subject.close()


def _three(subject: Subject) -> Counts:
    for _ in range(3):
        subject.answer("scale", subject.case("scale", batch=2))
    return Counts(success=3, inferences=6)


def test_observed_on_the_wire(subject: Subject) -> None:
    seen = observe(subject, "scale", lambda: _three(subject))
    for name in ("statistics", "metrics"):
        seen.require(subject, name)
    assert seen.batches.executions == {2: 3}
    assert counting.as_json(seen)["metrics"]["inferences"] == 6


def test_an_endpoint_in_use(
    fake: FakeTriton, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "SETTLE", 0.05)
    fake.busy = 1
    seen = observe(subject, "scale", lambda: _three(subject))
    for name in ("statistics", "metrics"):
        with pytest.raises(Inconclusive):
            seen.require(subject, name)


def test_a_witness_that_never_shows_it(
    fake: FakeTriton, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "SETTLE", 0.05)
    fake.page = lambda text: "\n".join(
        line if line.startswith("#") else f"{line.rpartition(' ')[0]} 0" for line in text.split("\n")[:-1]
    ) + "\n"  # fmt: skip
    seen = observe(subject, "scale", lambda: _three(subject))
    seen.require(subject, "statistics")
    with pytest.raises(AssertionError, match="metrics counts 0 success, the client 3"):
        seen.require(subject, "metrics")


def test_metrics_that_cannot_be_read_leave_the_statistics(
    fake: FakeTriton, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "SETTLE", 0.05)
    for value in ("Nan", "+Inf", "1.5", "-3"):
        fake.page = lambda text, value=value: f'nv_inference_count{{model="scale"}} {value}\n'
        seen = observe(subject, "scale", lambda: _three(subject))
        seen.require(subject, "statistics")
        with pytest.raises(AssertionError, match=r"metrics cannot be read: .*is no count"):
            seen.require(subject, "metrics")


@pytest.mark.parametrize("nonsense", ["5", True, -1, 2.0, None, [], float("inf"), {"a": 1}])
def test_statistics_that_are_no_counts(
    fake: FakeTriton, subject: Subject, nonsense: object
) -> None:
    def edit(kind: str, path: str, document: Any) -> Any:
        if kind == "statistics":
            document["model_stats"][0]["inference_count"] = nonsense
        return document

    fake.edit = edit
    with pytest.raises(MalformedAnswer, match="cannot be read"):
        statistics(subject, "scale")


def test_statistics_of_nobody(fake: FakeTriton, subject: Subject) -> None:
    fake.edit = lambda kind, path, document: {"model_stats": []}
    with pytest.raises(MalformedAnswer, match="no entry for scale"):
        statistics(subject, "scale")
