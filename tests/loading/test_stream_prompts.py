"""What a streaming model is asked where nobody says it, and which output is read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pytest_triton.errors import Misused, ToolError
from pytest_triton.load.records import Record, from_json, to_json
from pytest_triton.load.result import LoadResult
from pytest_triton.load.stream_load import judged
from pytest_triton.load.stream_requests import TokenOutput, shape_flaw, stream_body
from pytest_triton.load.tokens import TimedStream
from pytest_triton.loading.prompts import Prompts, asked
from pytest_triton.loading.streaming import output_of
from pytest_triton.probe.codec import as_tensor
from pytest_triton.probe.types import MalformedAnswer, Tensor, TensorSpec


def _model(*inputs: tuple[str, str, list[int], bool], batch: int = 0) -> tuple[Any, Any]:
    metadata = {
        "inputs": [{"name": n, "datatype": t, "shape": shape} for n, t, shape, _ in inputs],
        "outputs": [{"name": "token_ids", "datatype": "INT64", "shape": [1]}],
    }
    config = {
        "max_batch_size": batch,
        "input": [{"name": n, "optional": optional} for n, _, _, optional in inputs],
        "model_warmup": [{"name": "w", "batch_size": 1, "inputs": {}}],
    }
    return metadata, config


IDS = ("input_ids", "INT64", [-1], False)
COUNT = ("max_tokens", "INT32", [1], True)
EOS = ("ignore_eos", "BOOL", [1], True)


def test_a_model_like_ours() -> None:
    found = asked("m", *_model(IDS, COUNT, EOS), Prompts(max_tokens=9, prompt_tokens=7))
    assert len(found.cases) == 32
    assert found.parameters == {}
    for case in found.cases:
        inputs = {name: as_tensor(value).array for name, value in case.inputs.items()}
        assert inputs["input_ids"].shape == (7,)
        assert 3 <= inputs["input_ids"].min() <= inputs["input_ids"].max() < 10
        assert inputs["max_tokens"].tolist() == [9]
        assert inputs["ignore_eos"].tolist() == [True]


def test_a_seed_decides() -> None:
    def ids(seed: int) -> list[list[int]]:
        found = asked("m", *_model(IDS), Prompts(seed=seed))
        return [as_tensor(case.inputs["input_ids"]).array.tolist() for case in found.cases]

    assert ids(1) == ids(1) != ids(2)


def test_a_model_like_vllms() -> None:
    """Optional inputs of which nothing is known are left out; the length is a parameter."""
    model = _model(
        ("text_input", "BYTES", [1], False), ("stream", "BOOL", [1], True),
        ("sampling_parameters", "BYTES", [1], True),
    )  # fmt: skip
    found = asked("m", *model, Prompts(max_tokens=9, prompt_tokens=3))
    assert found.parameters == {"max_tokens": 9}
    assert set(found.cases[0].inputs) == {"text_input", "stream"}
    texts = {as_tensor(case.inputs["text_input"]).array[0] for case in found.cases}
    assert len(texts) == len(found.cases) > 16
    assert {len(text.split()) for text in texts} == {3}


def test_ids_go_before_text_where_either_will_do() -> None:
    model = _model((*IDS[:3], True), ("text_input", "BYTES", [1], True), COUNT)
    (first, *_) = asked("m", *model, Prompts()).cases
    assert set(first.inputs) == {"input_ids", "max_tokens"}
    assert as_tensor(first.inputs["max_tokens"]).array.tolist() == [32]


def test_a_model_that_batches_has_one_row() -> None:
    model = _model(("input_ids", "INT64", [-1, -1], False), ("max_tokens", "INT32", [-1, 1], False),
                   batch=8)  # fmt: skip
    (first, *_) = asked("m", *model, Prompts(prompt_tokens=6, max_tokens=2)).cases
    shapes = {name: as_tensor(value).array.shape for name, value in first.inputs.items()}
    assert shapes == {"input_ids": (1, 6), "max_tokens": (1, 1)}
    assert stream_body("http", "m", first.inputs).count(b",") == 6


def test_a_file_about_something_else_is_refused(tmp_path: Any) -> None:
    file = tmp_path / "inputs.json"
    file.write_text('{"data": [{"OTHER": [1]}]}')
    with pytest.raises(ToolError, match="says nothing of the inputs of m"):
        asked("m", *_model(IDS), Prompts(inputs=file))


def test_what_json_cannot_carry() -> None:
    spec = TensorSpec("A", "INT64", (-1, -1))
    assert shape_flaw([spec], {"A": np.zeros((1, 5), np.int64)}) == ""
    assert "[2, 5] of A" in shape_flaw([spec], {"A": np.zeros((2, 5), np.int64)})
    with pytest.raises(TypeError, match="type BF16"):
        stream_body("http", "m", {"A": Tensor(np.zeros(1, np.uint16), "BF16")})
    with pytest.raises(TypeError, match="not UTF-8"):
        stream_body("http", "m", {"A": np.array([b"\xff"], object)})


def test_which_values_are_tokens() -> None:
    ids, text = TokenOutput("O", "INT32"), TokenOutput("O", "BYTES")
    numbers = TokenOutput("O", "FP32")
    assert ids.of_event({"O": 4}) == [4]
    assert ids.of_event({"O": [4, 5]}) == [4, 5]
    assert ids.of_event({"P": 4}) == ids.of_event({"O": []}) == []
    assert text.of_event({"O": "a b"}) == ["a b"]
    assert text.of_event({"O": ""}) == text.of_event({"O": ["", ""]}) == []
    assert numbers.of_event({"O": [1.5, 2]}) == [(1.5, 2)]
    for output, wrong in ((ids, "4"), (ids, True), (ids, 1.0), (text, 4), (numbers, "x")):
        with pytest.raises(MalformedAnswer):
            output.of_event({"O": wrong})


@pytest.mark.parametrize(
    ("outputs", "name", "found"),
    [
        (["X"], None, "X"),
        (["text_output", "token_ids"], None, "token_ids"),
        (["X", "text_output"], None, "text_output"),
        (["X", "Y"], "Y", "Y"),
    ],
)
def test_which_output_is_read(outputs: list[str], name: str | None, found: str) -> None:
    assert output_of(_target(outputs), name) == TokenOutput(found, "INT64")


def test_an_output_has_to_be_named_where_it_is_not_plain() -> None:
    with pytest.raises(Misused, match="give --token-output: outputs are X, Y"):
        output_of(_target(["X", "Y"]), None)
    with pytest.raises(Misused, match="has no such output"):
        output_of(_target(["X", "Y"]), "Z")


def _target(outputs: list[str]) -> Any:
    told = [{"name": name, "datatype": "INT64", "shape": [1]} for name in outputs]
    http = SimpleNamespace(model_metadata=lambda model, version: {"outputs": told})
    return SimpleNamespace(model="m", version="", http=http)


def _judged(**more: Any) -> LoadResult:
    """100 streams of a second in a window of ten; the first token of each after 50 ms."""
    ended = np.linspace(0.1, 10, 100)
    good = [TimedStream(0, end - 1, 2, [1, 2], [end - 0.95, end - 0.1]) for end in ended]
    made = LoadResult(
        100, 0, 0, 0, 10.0, 10.0, np.full(100, 1e6), ended, 0.0, 10.0, **{"concurrency": 10, **more}
    )
    return judged(made, good)


def test_a_client_without_time_is_not_believed() -> None:
    assert _judged(client_busy=0.5).doubts == ()
    assert "this client computed for 95% of the time" in _judged(client_busy=0.95).doubts[0]
    # Whole streams are in flight, latencies are to the last token.
    assert _judged().latency_us[0] == pytest.approx(9e5)
    assert "20 were kept in flight" in _judged(concurrency=20).doubts[0]


def test_to_be_on_time_is_measured_by_the_first_token() -> None:
    """100 ms late are a tenth of a stream, and twice a TTFT."""
    late = np.full(100, 1e5)
    found = _judged(concurrency=0, request_rate=10.0, planned=100, slept_us=late)
    assert "cannot generate 10 requests/s on time" in found.lateness
    found = _judged(concurrency=0, request_rate=10.0, planned=100, slept_us=late / 10)
    assert found.lateness == ""


def test_records_with_and_without_a_stream() -> None:
    latency = dict.fromkeys(("mean", "p50", "p90", "p95", "p99"), 1.0)
    plain = Record("grpc", 10, 0, 1.0, 10.0, latency, concurrency=1)
    times = {"mean": 1.0, "p50": 1.0, "p95": 2.0, "p99": None}
    stream = {"ttft_ms": times, "itl_ms": times, "tokens": 60, "tokens_per_s": 60.0,
              "tokens_per_s_per_user": None}  # fmt: skip
    streamed = Record("grpc", 10, 0, 1.0, 10.0, latency, concurrency=1, stream=stream)
    found = from_json(to_json([plain, streamed]))
    assert found[0].stream == {}
    assert found[1].stream == stream
    assert "stream" not in plain.to_json()
    text = to_json([streamed])
    for right, wrong in (('"tokens": 60', '"tokens": -1'), ('"ttft_ms"', '"other"')):
        with pytest.raises(ToolError, match="record 0: stream"):
            from_json(text.replace(right, wrong))
