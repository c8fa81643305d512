"""config.pbtxt out of an export record: complete, in order, and clean to lint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_triton.errors import ToolError
from pytest_triton.repository.config import is_complete, parse_config
from pytest_triton.repository.derive import LABELS_NAME, config_of
from pytest_triton.repository.lint import lint
from pytest_triton.repository.sidecar import ExportRecord, Parity
from pytest_triton.repository.tensors import TensorSpec

RECORD = ExportRecord(
    format="torchscript",
    inputs=(
        TensorSpec("attention_mask", "INT64", ("length",)),
        TensorSpec("input_ids", "INT64", ("length",)),
    ),
    outputs=(TensorSpec("logits", "FP32", (3,)),),
    max_batch_size=16,
    seed=0,
    axes={"length": (1, 128)},
    ranges={"input_ids": (0, 30_000), "attention_mask": (1, 2)},
    parity=(Parity("traced", 2, {"length": 9}, 0, 0, True),),
    torch_version="2.6.0",
    method="trace",
    platform="pytorch_libtorch",
    naming="arguments",
    schema="forward(__torch__.M self, Tensor input_ids, Tensor attention_mask) -> Tensor",
    labels=("a", "b", "c"),
)
PLAIN = ExportRecord(
    format="torchscript",
    inputs=(TensorSpec("INPUT__0", "FP32", (4,)),),
    outputs=(TensorSpec("OUTPUT__0", "FP32", (2,)),),
    max_batch_size=8,
    seed=0,
    platform="pytorch_libtorch",
    naming="index",
    schema="forward(__torch__.M self, Tensor x) -> Tensor",
)


def findings(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    (tmp_path / "config.pbtxt").write_text(text)
    found = lint(tmp_path / "config.pbtxt").findings
    return [(one.rule, one.message) for one in found if one.severity != "info"]


def test_a_text_classifier(tmp_path: Path) -> None:
    text = config_of(RECORD, name="classifier")
    config = parse_config(text)
    assert is_complete(config)
    assert (config.name, config.platform, config.max_batch_size) == (
        "classifier", "pytorch_libtorch", 16,
    )  # fmt: skip
    assert [(tensor.name, list(tensor.dims)) for tensor in config.input] == [
        ("input_ids", [-1]), ("attention_mask", [-1]),
    ]  # fmt: skip
    assert config.output[0].label_filename == LABELS_NAME
    assert config.HasField("dynamic_batching")
    assert [sample.batch_size for sample in config.model_warmup] == [1, 16]
    for sample in config.model_warmup:
        assert {name: list(value.dims) for name, value in sample.inputs.items()} == {
            "input_ids": [9], "attention_mask": [9],
        }  # fmt: skip
        assert all(value.zero_data for value in sample.inputs.values())
    assert "0 to 29999" in text
    assert "1 to 128 are proven" in text


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(replace(RECORD, labels=()), id="text"),
        pytest.param(PLAIN, id="plain"),
        pytest.param(replace(PLAIN, max_batch_size=0), id="no batch dimension"),
        pytest.param(replace(PLAIN, max_batch_size=1), id="one row"),
        pytest.param(replace(PLAIN, max_batch_size=2), id="two rows"),
        pytest.param(replace(PLAIN, max_batch_size=256), id="many rows"),
        pytest.param(
            replace(PLAIN, inputs=(TensorSpec("INPUT__0", "FP16", ("h", "w", 3)),),
                    axes={"h": (32, 64), "w": (32, 64)}),
            id="axes",
        ),
        pytest.param(
            replace(PLAIN, outputs=(TensorSpec("scores__0", "FP32", (2,)),
                                    TensorSpec("hidden__1", "FP32", (-1, 8)))),
            id="two outputs",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("comments", [True, False])
def test_lint_has_nothing_to_say(tmp_path: Path, record: ExportRecord, comments: bool) -> None:
    text = config_of(record, comments=comments)
    assert findings(tmp_path, text) == []
    assert ("#" in text) is comments


def test_comments_change_nothing() -> None:
    for record in (RECORD, PLAIN):
        texts = [config_of(record, name="m", comments=comments) for comments in (True, False)]
        assert parse_config(texts[0]) == parse_config(texts[1])


def test_without_a_batch_dimension_nothing_batches() -> None:
    config = parse_config(config_of(replace(PLAIN, max_batch_size=0)))
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert [sample.batch_size for sample in config.model_warmup] == [1]


def test_what_can_be_left_out_and_put_in() -> None:
    text = config_of(
        RECORD, dynamic_batching=False, warmup=False, labels=False,
        parameters={"INTRA_OP_THREAD_COUNT": "1"},
    )  # fmt: skip
    config = parse_config(text)
    assert not config.HasField("dynamic_batching")
    assert not config.model_warmup
    assert not config.output[0].label_filename
    assert config.parameters["INTRA_OP_THREAD_COUNT"].string_value == "1"
    assert not config.name
    delayed = parse_config(config_of(RECORD, max_queue_delay_microseconds=500))
    assert delayed.dynamic_batching.max_queue_delay_microseconds == 500


def test_floats_with_a_range_are_warmed_up_with_zeros() -> None:
    ranged = replace(PLAIN, ranges={"INPUT__0": (0.0, 1.0)})
    for record, random in ((PLAIN, True), (ranged, False)):
        sample = parse_config(config_of(record)).model_warmup[0]
        assert sample.inputs["INPUT__0"].random_data is random
        assert sample.inputs["INPUT__0"].zero_data is not random


def test_odd_names_are_quoted() -> None:
    odd = 'a "b" \\ ü'
    record = replace(PLAIN, inputs=(TensorSpec(odd, "FP32", (4,)),), naming="order")
    config = parse_config(config_of(record))
    assert config.input[0].name == odd
    assert list(config.model_warmup[0].inputs) == [odd]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (replace(PLAIN, format="python", platform=""), "no configuration can be derived"),
        (replace(PLAIN, outputs=(TensorSpec("y", "FP32", ()),)), "no empty dims"),
    ],
)
def test_what_has_no_configuration(record: ExportRecord, message: str) -> None:
    with pytest.raises(ToolError, match=message) as caught:
        config_of(record)
    assert caught.value.remedy
