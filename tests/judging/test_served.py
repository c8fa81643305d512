"""Configurations and metadata of an endpoint: what they mean, and what is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_triton import CONFIGS, FakeTriton

from pytest_triton.errors import SubjectFault
from pytest_triton.probe.protobuf import to_plain
from pytest_triton.probe.types import MalformedAnswer
from pytest_triton.repository.config import parse_config
from pytest_triton.served import (
    declared_metadata,
    disk_config,
    knows,
    model_file_digests,
    parse_served,
    policy_versions,
    well_formed,
    wrong_types,
)

DISK = """
name: "m"
platform: "pytorch_libtorch"
max_batch_size: 8
default_model_filename: "net.pt"
input [ { name: "A" data_type: TYPE_FP32 dims: [ 3, -1 ] reshape { shape: [ 3 ] } optional: true } ]
output [ { name: "B" data_type: TYPE_INT64 dims: [ 2 ] label_filename: "l.txt" } ]
version_policy { specific { versions: [ 1, 3 ] } }
instance_group [ { kind: KIND_CPU count: 2 }, { kind: KIND_CPU count: 1 } ]
dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100 }
optimization { priority: PRIORITY_MAX input_pinned_memory { enable: true } }
parameters [ { key: "P" value { string_value: "v" } } ]
cc_model_filenames [ { key: "7.5" value: "x.pt" } ]
metric_tags [ { key: "t" value: "u" } ]
model_warmup [ {
  name: "w" batch_size: 1
  inputs [ { key: "A" value { data_type: TYPE_FP32 dims: [ 3, 1 ] zero_data: true } } ]
} ]
response_cache { enable: true }
model_transaction_policy { decoupled: false }
"""


@pytest.mark.parametrize(
    "nonsense",
    [
        {"max_batch_size": "x"},
        {"max_batch_size": 10**30},
        {"max_batch_size": float("nan")},
        {"input": [{"data_type": float("inf")}]},
        {"input": [{"data_type": -1}]},
        {"input": 7},
        {"output": [None]},
        {"name": 5},
        {"parameters": [1]},
        {"version_policy": {"latest": {}, "all": {}}},
    ],
)
def test_a_configuration_that_is_none(nonsense: dict[str, Any]) -> None:
    with pytest.raises(SubjectFault, match="is no ModelConfig"):
        parse_served(nonsense)


def test_fields_of_newer_servers_are_no_fault() -> None:
    config = {"name": "m", "brand_new_field": {"x": 1}}
    assert parse_served(config).name == "m"
    with pytest.raises(SubjectFault, match="brand_new_field"):
        parse_served(config, strict=True)
    assert knows("2.39.0")
    assert not knows("99.0.0")
    assert not knows("nobody knows")


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"max_batch_size": "8"}, "max_batch_size is '8', not a whole number"),
        ({"dynamic_batching": []}, "dynamic_batching is [], not an object"),
        ({"name": None}, "name is None, not a string"),
        ({"input": [{"name": "A", "data_type": 11}]}, "input[0].data_type is 11, not a string"),
        ({"instance_group": [{"kind": "KIND_NONE"}]}, "kind is 'KIND_NONE', which is no value"),
        ({"input": [{"dims": ["3"]}]}, "input[0].dims[0] is '3', not a whole number"),
        ({"dynamic_batching": {"preserve_ordering": None}}, "preserve_ordering is None, not true"),
    ],
)
def test_types_that_protobuf_forgives(part: dict[str, Any], told: str) -> None:
    (line,) = wrong_types(part)
    assert told in line


def test_right_types() -> None:
    for config in (*CONFIGS.values(), to_plain(parse_config(DISK))):
        assert wrong_types(config) == []


def test_metadata() -> None:
    assert well_formed(FakeTriton().metadata("scale"))["name"] == "scale"
    tensors = declared_metadata(to_plain(parse_config(DISK)))
    assert [(t.name, t.datatype, t.shape) for t in tensors["inputs"]] == [
        ("A", "FP32", (-1, 3, -1))
    ]
    assert [(t.name, t.datatype, t.shape) for t in tensors["outputs"]] == [("B", "INT64", (-1, 2))]


@pytest.mark.parametrize(
    "part",
    [
        {"versions": None}, {"versions": [1]}, {"versions": "1"}, {"platform": 5}, {"inputs": {}},
        {"outputs": [None]}, {"inputs": [{"name": 5, "datatype": "FP32", "shape": [1]}]},
        {"inputs": [{"name": "A", "datatype": "FP31", "shape": [1]}]},
        {"inputs": [{"name": "A", "datatype": [], "shape": [1]}]},
        {"inputs": [{"name": "A", "datatype": "FP32", "shape": ["3"]}]},
        {"inputs": [{"name": "A", "datatype": "FP32", "shape": [True]}]},
        {"inputs": [{"name": "A", "datatype": "FP32", "shape": [-2]}]},
        {"inputs": [{"name": "A", "datatype": "FP32"}]},
    ],
)  # fmt: skip
def test_metadata_that_is_none(part: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer, match=r"^metadata: "):
        well_formed({**FakeTriton().metadata("scale"), **part})


@pytest.mark.parametrize(
    ("policy", "versions"),
    [
        ("", ["12"]),
        ("version_policy { latest { num_versions: 2 } }", ["3", "12"]),
        ("version_policy { latest { num_versions: 9 } }", ["1", "3", "12"]),
        ("version_policy { all { } }", ["1", "3", "12"]),
        ("version_policy { specific { versions: [ 3, 1, 7 ] } }", ["1", "3"]),
    ],
)
def test_policies(tmp_path: Path, policy: str, versions: list[str]) -> None:
    for name in ("1", "3", "12", "007", "warmup", "x"):
        (tmp_path / name).mkdir()
    if policy:  # without a file at all the default holds
        (tmp_path / "config.pbtxt").write_text(policy)
    assert policy_versions(tmp_path) == versions
    assert bool(disk_config(tmp_path).ByteSize()) is bool(policy)


def test_versions_with_the_same_files(tmp_path: Path) -> None:
    for name, content in (("1", "a"), ("2", "a"), ("3", "b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.pt").write_text(content)
        (tmp_path / name / "export.json").write_text(name)  # a side-car is no part of the model
    digests = model_file_digests(tmp_path, ["1", "2", "3"])
    assert digests["1"] == digests["2"] != digests["3"]
