"""A server as it shows itself, also one that talks nonsense; and what the report says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fake_triton import FakeTriton, fake_triton

from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.criteria.catalogue import CAPABILITIES
from pytest_triton.deployment import Deployment
from pytest_triton.describe import describe
from pytest_triton.served_model import ServedModel
from pytest_triton.settings import Settings
from pytest_triton.subject import MAX_ROWS, Subject


@pytest.fixture
def fake() -> Iterator[FakeTriton]:
    with fake_triton() as fake:
        yield fake


@pytest.fixture
def subject(fake: FakeTriton) -> Iterator[Subject]:
    subject = _subject(fake)
    yield subject
    subject.close()


def _subject(fake: FakeTriton, models: str = "*") -> Subject:
    deployment = Deployment("endpoint", fake.url, metrics_url=fake.metrics_url)
    return Subject(deployment, Settings(url=fake.url, models=models, allow_load=1))


def _answering(fake: FakeTriton, kind: str, document: Any, path: str = "") -> None:
    fake.edit = lambda k, p, d: document if k == kind and p.endswith(path) else d


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_a_server_of_ours_on_a_gpu_has_one_whatever_its_metrics_say(
    fake: FakeTriton, device: str
) -> None:
    deployment = Deployment(
        "repository", fake.url, metrics_url=fake.metrics_url, device=device, owned=True
    )
    subject = Subject(deployment, Settings())
    assert "nv_gpu_memory_total_bytes" not in subject.scrape().families
    assert subject.capability("gpu") is (device == "gpu")
    subject.close()


def test_what_it_has(subject: Subject) -> None:
    assert list(subject.models) == ["chain", "echo", "scale", "tokens"]
    assert subject.models["scale"].versions == ("1", "2")
    assert list(subject.pytorch) == ["scale"]
    assert list(subject.unary) == ["chain", "echo", "scale"]
    has = {name for name in CAPABILITIES if subject.capability(name)}
    assert has >= {
        "pytorch",
        "batching",
        "dynamic_batching",
        "versions",
        "ensemble",
        "decoupled",
        "labels",
    }
    assert not has & {"owned", "reference", "repository", "eager", "gpu"}
    assert subject.release == "24.10"
    assert subject.error_status(404) == 404


def test_obstacles(fake: FakeTriton, subject: Subject) -> None:
    for name in ("live", "metrics", "model", "pytorch"):
        assert subject.obstacle(name) is None
    assert subject.obstacle("grpc") == "no gRPC endpoint is known"
    assert subject.has_endpoint("metrics")
    assert not subject.has_endpoint("grpc")
    _answering(fake, "index", [{"name": "echo", "version": "1", "state": "READY"}])
    second = _subject(fake)
    assert second.obstacle("pytorch") == "no PyTorch model is ready"
    _answering(fake, "index", [])
    third = _subject(fake)
    assert third.obstacle("model") == "no model is ready"
    third.close()
    second.close()


def test_a_server_that_is_gone() -> None:
    with fake_triton() as fake:
        subject = _subject(fake)
    for name in ("live", "metrics"):
        assert "does not answer" in str(subject.obstacle(name))
    assert subject.obstacle("model") == "no model is ready"
    assert subject.models == {}
    assert subject.release is None
    assert describe(subject)["environment"]["server"]["version"] is None
    subject.close()


def test_every_answer_is_asked_for_once(subject: Subject) -> None:
    made: list[int] = []
    for _ in range(2):
        subject.once("x", lambda: made.append(1))
    assert made == [1]


def test_models_that_are_selected(fake: FakeTriton) -> None:
    subject = _subject(fake, "[es]*")
    assert subject.expected == ("echo", "scale")
    assert list(subject.models) == ["echo", "scale"]
    subject.close()


@pytest.mark.parametrize("nonsense", [None, 5, "x", [], {}, [None, 7, []], [{"name": []}]])
def test_an_index_of_nonsense_has_no_model(fake: FakeTriton, nonsense: object) -> None:
    _answering(fake, "index", nonsense)
    subject = _subject(fake)
    assert subject.models == {}
    assert subject.obstacle("model")
    subject.close()


def test_entries_that_come_twice_are_one_version(fake: FakeTriton) -> None:
    entries = [
        {"name": "scale", "version": v, "state": "READY"} for v in ("10", "9", "9", "²", "x")
    ]
    _answering(fake, "index", entries)
    subject = _subject(fake)
    assert subject.models["scale"].versions == ("²", "x", "9", "10")
    subject.close()


@pytest.mark.parametrize(
    "nonsense", [None, [], {"max_batch_size": {}}, {"output": [None]}, {"input": 7}]
)
def test_a_model_whose_configuration_is_none_is_left_out(
    fake: FakeTriton, nonsense: object
) -> None:
    _answering(fake, "config", nonsense, "/scale/config")
    subject = _subject(fake)
    assert list(subject.models) == ["chain", "echo", "tokens"]
    assert not subject.capability("pytorch")
    subject.close()


def test_configurations_are_used_with_their_types(fake: FakeTriton) -> None:
    _answering(
        fake, "config", {"maxBatchSize": "4", "output": None, "backend": "pytorch"}, "/scale/config"
    )
    subject = _subject(fake)
    model = subject.models["scale"]
    assert (model.max_batch_size, model.is_pytorch, model.labelled_outputs) == (4, True, ())
    subject.close()


@pytest.mark.parametrize(
    "nonsense",
    [None, {}, {"inputs": None}, {"inputs": [{"name": "A", "shape": [1]}], "outputs": []}],
)
def test_metadata_of_nonsense_blocks_what_needs_it(fake: FakeTriton, nonsense: object) -> None:
    _answering(fake, "metadata", nonsense, "/scale")
    subject = _subject(fake)
    for ask in (subject.metadata, subject.case, subject.cases, subject.batches):
        with pytest.raises(NotAssessed) as hole:
            ask("scale")
        assert hole.value.code is Reason.BLOCKED
    subject.close()


def test_a_batch_that_nobody_can_send_is_not_made(fake: FakeTriton) -> None:
    fake.edit = lambda kind, path, document: (
        {**document, "max_batch_size": 2**31 - 1} if kind == "config" else document
    )
    subject = _subject(fake)
    assert subject.largest_batch("scale") == MAX_ROWS
    assert max(case.batch for case in subject.batches("scale")) == MAX_ROWS
    subject.close()


@pytest.mark.parametrize(
    "server",
    [None, [], {}, {"name": 5, "version": float("nan"), "extensions": "x"},
     {"name": ["triton"], "version": {"a": 1}, "extensions": [None, 7, [], float("inf")]}],
)  # fmt: skip
def test_the_report_has_its_types_whatever_the_server_says(
    fake: FakeTriton, server: object
) -> None:
    _answering(fake, "server", server)
    fake.page = lambda text: (
        text
        + "".join(
            f'nv_gpu_memory_total_bytes{{gpu_uuid="{value}"}} {value}\n'
            for value in ("Nan", "+Inf", "5", "0")
        )
    )
    fake.page = lambda text, more=fake.page: more(text + "# TYPE nv_gpu_memory_total_bytes gauge\n")
    subject = _subject(fake)
    told = describe(subject)
    json.dumps(told, allow_nan=False)
    said = told["environment"]["server"]
    assert all(said[key] is None or isinstance(said[key], str) for key in ("name", "version"))
    assert all(isinstance(value, str) for value in said["extensions"])
    assert [gpu["memory_bytes"] for gpu in told["environment"]["gpus"]] == [None, None, 5, None]
    subject.close()


def test_served_model() -> None:
    plain = ServedModel("m", ("1",), {})
    assert not any([plain.max_batch_size, plain.is_pytorch, plain.is_ensemble, plain.decoupled])
    assert not any([plain.stateful, plain.dynamic_batching, plain.labelled_outputs])
    for config in ({"platform": "pytorch_libtorch"}, {"backend": "pytorch"}):
        assert ServedModel("m", ("1",), config).is_pytorch
    alone = ServedModel("m", ("1",), {"dynamic_batching": {}, "max_batch_size": 1})
    assert not alone.dynamic_batching
    assert ServedModel("m", ("1",), {"sequence_batching": {}}).stateful


def test_models_that_nobody_asked_an_endpoint_to_load(fake: FakeTriton) -> None:
    _answering(fake, "index", [
        {"name": "scale", "version": "2", "state": "READY"},
        {"name": "echo"},
        {"name": "tokens", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"},
        {"name": "chain", "version": "1", "state": "READY"}, {"name": "chain"},
    ])  # fmt: skip
    subject = _subject(fake)
    assert subject.never_loaded == ("echo",)
    assert subject.expected == ("chain", "scale", "tokens")
    subject.close()


@pytest.mark.parametrize(
    ("status", "text", "never"),
    [
        (200, "", ("echo",)),
        (503, "explicit model load / unload is not allowed if polling is enabled", ()),
        (403, "This API is restricted", ("echo",)),
    ],
)
def test_who_may_ask_tells_unreadable_from_never_loaded(
    fake: FakeTriton, status: int, text: str, never: tuple[str, ...]
) -> None:
    _answering(fake, "index", [{"name": "scale", "version": "2", "state": "READY"},
                               {"name": "echo"}])  # fmt: skip
    plain, asked = fake.answer, []

    def answer(method: str, path: str, headers: Any, body: bytes) -> Any:
        if not path.startswith("/v2/repository/models/"):
            return plain(method, path, headers, body)
        asked.append(path)
        return status, {"Content-Type": "application/json"}, json.dumps({"error": text}).encode()

    fake.answer = answer  # type: ignore[method-assign]
    deployment = Deployment("endpoint", fake.url)
    subject = Subject(deployment, Settings(url=fake.url, allow_load=1, allow_control=True))
    assert subject.never_loaded == never
    assert ("echo" in subject.expected) is not bool(never)
    assert asked == ["/v2/repository/models/pytest_triton_no_such_model/unload"]
    subject.close()
