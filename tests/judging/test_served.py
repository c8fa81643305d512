"""A configuration on disk against the one that is served: what is lost, and what is not."""

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
    unset_fields,
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


def _served(**changes: Any) -> Any:
    """As Triton serves it: everything, and defaults filled in."""
    return parse_served({**to_plain(parse_config(DISK)), "backend": "pytorch", **changes})


def _lost(**changes: Any) -> list[str]:
    return unset_fields(parse_config(DISK), _served(**changes))


def test_what_triton_adds_is_no_loss() -> None:
    assert _lost() == []
    assert unset_fields(parse_config('name: "m"'), _served()) == []
    assert _lost(runtime="x", metric_tags={"t": "u", "more": "m"}, platform="") == []


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("max_batch_size", 4, "max_batch_size is 8 on disk and 4"),
        ("default_model_filename", "", "default_model_filename is 'net.pt'"),
        ("platform", "onnxruntime_onnx", "platform is 'pytorch_libtorch' on disk"),
        ("input", [], "input has 1 elements on disk and 0 served"),
        ("input", [{"name": "A", "data_type": "TYPE_FP16", "dims": [3, -1], "optional": True,
                    "reshape": {"shape": [3]}}], "input[0].data_type is"),
        ("input", [{"name": "A", "data_type": "TYPE_FP32", "dims": [3, 4], "optional": True,
                    "reshape": {"shape": [3]}}], "input[0].dims[1] is -1 on disk and 4"),
        ("input", [{"name": "A", "data_type": "TYPE_FP32", "dims": [3, -1], "optional": True}],
         "input[0].reshape is set on disk and absent"),
        ("output", [{"name": "B", "data_type": "TYPE_INT64", "dims": [2]}], "output[0].label_filename"),
        ("version_policy", {"latest": {"num_versions": 1}}, "version_policy.specific is set"),
        ("version_policy", {"specific": {"versions": [1]}}, "version_policy.specific.versions has 2"),
        ("instance_group", [{"kind": "KIND_CPU", "count": 1}] * 2, "instance_group[0].count is 2"),
        ("instance_group", [{"kind": "KIND_GPU", "count": 2}, {"kind": "KIND_CPU", "count": 1}],
         "instance_group[0].kind is"),
        ("instance_group", [{"kind": "KIND_CPU", "count": 2}], "instance_group has 2 elements"),
        ("dynamic_batching", None, "dynamic_batching is set on disk and absent"),
        ("dynamic_batching", {"preferred_batch_size": [4, 8]}, "max_queue_delay_microseconds is 100"),
        ("optimization", {"priority": "PRIORITY_MAX"}, "optimization.input_pinned_memory is set"),
        ("parameters", {}, "parameters['P'] is set on disk and absent"),
        ("parameters", {"P": {"string_value": "x"}}, "parameters['P'].string_value is 'v'"),
        ("metric_tags", {"t": "x"}, "metric_tags['t'] is 'u' on disk, 'x' served"),
        ("cc_model_filenames", {}, "cc_model_filenames['7.5'] is set"),
        ("model_warmup", [], "model_warmup has 1 elements"),
        ("response_cache", {"enable": False}, "response_cache.enable is True"),
        ("model_transaction_policy", None, "model_transaction_policy is set"),
    ],
)  # fmt: skip
def test_every_kind_of_loss_is_found(field: str, value: Any, told: str) -> None:
    lines = _lost(**{field: value})
    assert len(lines) == 1
    assert told in lines[0]


def test_instance_groups_without_a_count_or_kind_may_be_filled_in() -> None:
    wanted = parse_config("instance_group [ { } ]")
    served = parse_served(
        {"instance_group": [{"name": "m", "kind": "KIND_GPU", "gpus": [0], "count": 1}]}
    )
    assert unset_fields(wanted, served) == []


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
