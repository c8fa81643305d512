"""Where inputs come from, and what can be made of them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_triton.errors import ToolError
from pytest_triton.probe.codec import as_tensor
from pytest_triton.probe.inputs import InputSource
from pytest_triton.probe.types import Tensor
from pytest_triton.repository.sidecar import ExportRecord, GoldenCase, write_sidecar
from pytest_triton.repository.tensors import TensorSpec

METADATA: dict[str, Any] = {
    "name": "m",
    "versions": ["1", "2"],
    "inputs": [
        {"name": "ids", "datatype": "INT64", "shape": [-1, -1]},
        {"name": "attention_mask", "datatype": "INT64", "shape": [-1, -1]},
    ],
    "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 3]}],
}
CONFIG: dict[str, Any] = {"max_batch_size": 8}


def arrays(case: Any) -> dict[str, Any]:
    return {name: as_tensor(value).array for name, value in case.inputs.items()}


def test_generated_cases() -> None:
    cases = InputSource(seed=3).cases("m", METADATA, CONFIG)
    assert {case.provenance for case in cases} == {"generated"}
    assert len(cases) > 1  # a variable dimension has several sizes
    for case in cases:
        found = arrays(case)
        assert found["ids"].shape == found["attention_mask"].shape
        assert found["ids"].dtype == np.int64
        assert 0 <= found["ids"].min() <= found["ids"].max() < 10
        assert (found["attention_mask"] == 1).all()
        assert case.batch == 1
        assert case.expected is None
    three = InputSource(seed=3).cases("m", METADATA, CONFIG, batch=3)
    assert {case.batch for case in three} == {3}
    assert {arrays(case)["ids"].shape[0] for case in three} == {3}


def test_generated_values_hang_on_the_seed_and_the_model_alone() -> None:
    def ids(seed: int, model: str) -> list[Any]:
        case = InputSource(seed=seed).cases(model, METADATA, CONFIG)[-1]
        return list(arrays(case)["ids"].reshape(-1).tolist())

    assert ids(1, "m") == ids(1, "m")
    assert ids(1, "m") != ids(2, "m")
    assert ids(1, "m") != ids(1, "n")


def test_every_type_is_generated_without_a_batch() -> None:
    from pytest_triton.probe.codec import DATATYPES, encode_raw

    inputs = [{"name": f"x{kind}", "datatype": kind, "shape": [2, 3]} for kind in DATATYPES]
    (case,) = InputSource().cases("m", {"inputs": inputs, "outputs": []}, {"max_batch_size": 0})
    assert case.batch == 0
    for kind in DATATYPES:
        tensor = as_tensor(case.inputs[f"x{kind}"])
        assert tensor.datatype == kind
        assert tensor.array.shape == (2, 3)
        assert encode_raw(tensor)


def test_warm_up_before_generation(tmp_path: Path) -> None:
    (tmp_path / "m" / "warmup").mkdir(parents=True)
    raw = np.arange(5, dtype=np.int64)
    (tmp_path / "m" / "warmup" / "mask").write_bytes(raw.tobytes())
    entry = {"data_type": "TYPE_INT64", "dims": [5]}
    files = {
        "ids": {**entry, "zero_data": True},
        "attention_mask": {**entry, "input_data_file": "mask"},
    }
    config = {**CONFIG, "model_warmup": [{"name": "w", "batch_size": 2, "inputs": files}]}
    (case,) = InputSource(repository=tmp_path).cases("m", METADATA, config)
    assert (case.name, case.provenance, case.batch) == ("w", "warmup", 2)
    assert arrays(case)["ids"].tolist() == [[0] * 5] * 2
    assert arrays(case)["attention_mask"].tolist() == [raw.tolist()] * 2
    # the file is out of reach at a running endpoint: values are made up instead
    assert InputSource().cases("m", METADATA, config)[0].provenance == "generated"


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A repository whose version 2 has a side-car with 4 and 2 rows."""
    directory = tmp_path / "m" / "2"
    directory.mkdir(parents=True)
    rng = np.random.default_rng(0)
    cases = []
    for name, rows, length in (("four", 4, 5), ("two", 2, 7)):
        inputs = {
            "ids": rng.integers(0, 99, (rows, length)),
            "attention_mask": np.ones((rows, length), np.int64),
        }
        logits = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
        cases.append(GoldenCase(name, inputs, {"logits": logits}))
    record = ExportRecord(
        "torchscript",
        (TensorSpec("ids", "INT64", ("n",)), TensorSpec("attention_mask", "INT64", ("n",))),
        (TensorSpec("logits", "FP32", (3,)),),
        8,
        seed=0,
        rtol=0.25,
        ranges={"ids": (50, 60), "attention_mask": (1, 2)},
    )
    write_sidecar(directory, record, cases)
    return tmp_path


def test_side_car_before_warm_up(exported: Path) -> None:
    source = InputSource(repository=exported)
    warm = {"model_warmup": [{"inputs": {"ids": {"data_type": "TYPE_INT64", "zero_data": True}}}]}
    cases = source.cases("m", METADATA, {**CONFIG, **warm})
    assert [(case.name, case.provenance, case.batch) for case in cases] == [
        ("four", "sidecar", 4), ("two", "sidecar", 2),
    ]  # fmt: skip
    assert cases[0].rtol == 0.25
    assert cases[0].expected is not None
    assert cases[0].expected["logits"].shape == (4, 3)
    assert source.cases("m", METADATA, CONFIG, version="1")[0].provenance == "generated"


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_batches_keep_what_is_expected(exported: Path, batch: int) -> None:
    case = InputSource(repository=exported).cases("m", METADATA, CONFIG, batch=batch)[0]
    assert case.batch == batch
    assert case.expected is not None
    rows = np.arange(batch) % 4
    assert case.expected["logits"].tolist() == [[3 * r, 3 * r + 1, 3 * r + 2] for r in rows]
    assert arrays(case)["ids"].shape == (batch, 5)


def test_distinct_requests_for_load(exported: Path) -> None:
    source = InputSource(repository=exported, seed=9)
    requests = source.distinct("m", METADATA, CONFIG, count=10)
    assert len(requests) == 10
    assert {arrays(case)["ids"].shape for case in requests} == {(1, 5)}
    assert [case.expected is not None for case in requests] == [True] * 4 + [False] * 6
    assert len({arrays(case)["ids"].tobytes() for case in requests}) == 10
    made = np.concatenate([arrays(case)["ids"] for case in requests[4:]])
    assert 50 <= made.min() <= made.max() < 60  # the ranges of the side-car
    pairs = source.distinct("m", METADATA, CONFIG, count=2, batch=2)
    assert [case.batch for case in pairs] == [2, 2]
    assert pairs[0].expected is not None
    assert pairs[0].expected["logits"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_broken_side_car_is_told(exported: Path) -> None:
    (exported / "m" / "2" / "export.json").write_text("{}")
    with pytest.raises(ToolError, match="not a side-car"):
        InputSource(repository=exported).cases("m", METADATA, CONFIG)


def from_file(tmp_path: Path, document: Any, **options: Any) -> list[Any]:
    path = tmp_path / "inputs.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return InputSource(inputs_file=path).cases("m", METADATA, CONFIG, **options)


def test_perf_analyzers_file_wins(tmp_path: Path) -> None:
    mask = np.array([1, 0], np.int64)
    document = {
        "data": [
            {"ids": {"content": [5, 6], "shape": [2]},
             "attention_mask": {"b64": base64.b64encode(mask.tobytes()).decode(), "shape": [2]}},
            [{"ids": [7, 8, 9], "attention_mask": [[1, 1, 1]]}],
        ],
        "validation_data": [{"logits": [0.5, 1.5, 2.5]}],
    }  # fmt: skip
    first, second = from_file(tmp_path, document)
    assert (first.provenance, first.batch) == ("file", 1)
    assert arrays(first)["ids"].tolist() == [[5, 6]]
    assert arrays(first)["attention_mask"].tolist() == [[1, 0]]
    assert first.expected["logits"].tolist() == [[0.5, 1.5, 2.5]]
    assert arrays(second)["ids"].tolist() == [[7, 8, 9]]
    assert second.expected is None
    doubled = from_file(tmp_path, document, batch=2)[0]
    assert doubled.expected["logits"].shape == (2, 3)


def test_rules_per_tensor(tmp_path: Path) -> None:
    rules = {
        "ids": {"low": 100, "high": 200, "lengths": [8, 16]},
        "attention_mask": {"values": [1]},
    }
    cases = from_file(tmp_path, {"models": {"m": {"tensors": rules}, "n": {"data": [{"x": [1]}]}}})
    assert [arrays(case)["ids"].shape for case in cases] == [(1, 8), (1, 16)]
    assert [arrays(case)["attention_mask"].shape for case in cases] == [(1, 8), (1, 16)]
    assert {case.provenance for case in cases} == {"file"}
    assert all(arrays(case)["ids"].min() >= 100 for case in cases)


def test_a_file_about_other_models_is_passed_over(tmp_path: Path) -> None:
    assert from_file(tmp_path, {"models": {"n": {}}})[0].provenance == "generated"
    assert from_file(tmp_path, {"data": [{"pixels": [1]}]})[0].provenance == "generated"


@pytest.mark.parametrize(
    ("document", "says_so"),
    [
        ("{", "Expecting"),
        ([], "no object"),
        ({"data": [{"ids": [1], "what": [1]}]}, "no input 'what'"),
        ({"data": [{"ids": 7}]}, "no array of values"),
        ({"data": [{"ids": {"content": [1, 2], "shape": [3]}}]}, "2 values for shape"),
        ({"data": [{"ids": ["x"]}]}, "of type INT64"),
        ({"data": [{"ids": {"b64": "!", "shape": [1]}}]}, "ids"),
        ({"data": [{"ids": {"b64": "AAAA", "shape": [1]}}]}, "3 bytes"),
        ({"tensors": {"ids": {"low": 3}}}, "low and high come together"),
        ({"tensors": {"ids": {"low": 3, "high": 3}}}, "low below high"),
        ({"tensors": {"ids": {"lenghts": [3]}}}, "a rule has"),
        ({"tensors": {"ids": {"lengths": [0]}}}, "above 0"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, document: Any, says_so: str) -> None:
    with pytest.raises(ToolError, match=says_so) as caught:
        from_file(tmp_path, document)
    assert "inputs.json" in str(caught.value)
    assert caught.value.remedy


def test_bf16_stays_bf16_in_batches(tmp_path: Path) -> None:
    metadata = {"inputs": [{"name": "x", "datatype": "BF16", "shape": [-1, 2]}], "outputs": []}
    path = tmp_path / "inputs.json"
    path.write_text(json.dumps({"data": [{"x": [1.0, -2.0]}]}))
    (case,) = InputSource(inputs_file=path).cases("m", metadata, CONFIG, batch=3)
    assert isinstance(case.inputs["x"], Tensor)
    assert case.inputs["x"].array.tolist() == [[0x3F80, 0xC000]] * 3


def test_rows_of_a_warmup_are_one_request() -> None:
    """Zeros sixteen times are not sixteen different inputs."""
    zeros = {"data_type": "TYPE_INT64", "dims": [4], "zero_data": True}
    sample = {"inputs": {"ids": zeros, "attention_mask": zeros}}
    config = {
        **CONFIG,
        "model_warmup": [{**sample, "batch_size": 1}, {**sample, "batch_size": 8}],
    }
    source = InputSource(seed=3)
    assert len(source.cases("m", METADATA, config)) == 2
    assert len(source.distinct("m", METADATA, config, count=4)) == 1
    batch = source.distinct("m", METADATA, config, count=4, batch=2)
    assert [case.batch for case in batch] == [2]
