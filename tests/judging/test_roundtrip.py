"""Every field that a file sets against the served configuration: lost or not."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_triton.probe.protobuf import to_plain
from pytest_triton.repository.config import parse_config
from pytest_triton.roundtrip import fields_set, lost_fields
from pytest_triton.served import parse_served

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
    return [field.text for field in lost_fields(DISK, _served(**changes))]


def test_what_triton_adds_is_no_loss() -> None:
    assert _lost() == []
    assert lost_fields('name: "m"', _served()) == []
    assert _lost(runtime="x", metric_tags={"t": "u", "more": "m"}) == []
    more = to_plain(parse_config(DISK))["output"] + [{"name": "C", "data_type": "TYPE_INT8"}]
    assert _lost(output=more) == []


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("max_batch_size", 4, "max_batch_size is 8 on disk and 4 as served"),
        ("default_model_filename", "", "default_model_filename is 'net.pt'"),
        ("platform", "onnxruntime_onnx", "platform is 'pytorch_libtorch' on disk"),
        ("input", [], "input has 1 elements on disk and 0 as served"),
        ("input", [{"name": "A", "data_type": "TYPE_FP16", "dims": [3, -1], "optional": True,
                    "reshape": {"shape": [3]}}], "input[0].data_type is"),
        ("input", [{"name": "A", "data_type": "TYPE_FP32", "dims": [3, 4], "optional": True,
                    "reshape": {"shape": [3]}}], "input[0].dims[1] is -1 on disk and 4"),
        ("input", [{"name": "A", "data_type": "TYPE_FP32", "dims": [3, -1], "optional": True}],
         "input[0].reshape is set on disk, and not as served"),
        ("output", [{"name": "B", "data_type": "TYPE_INT64", "dims": [2]}], "output[0].label_filename"),
        ("version_policy", {"latest": {"num_versions": 1}}, "version_policy.specific is set"),
        ("version_policy", {"specific": {"versions": [1]}}, "version_policy.specific.versions has 2"),
        ("instance_group", [{"kind": "KIND_CPU", "count": 1}] * 2, "instance_group[0].count is 2"),
        ("instance_group", [{"kind": "KIND_GPU", "count": 2}, {"kind": "KIND_CPU", "count": 1}],
         "instance_group[0].kind is"),
        ("instance_group", [{"kind": "KIND_CPU", "count": 2}], "instance_group has 2 elements"),
        ("dynamic_batching", None, "dynamic_batching is set on disk, and not as served"),
        ("dynamic_batching", {"preferred_batch_size": [4, 8]}, "max_queue_delay_microseconds is 100"),
        ("optimization", {"priority": "PRIORITY_MAX"}, "optimization.input_pinned_memory is set"),
        ("parameters", {}, "parameters['P'] is set on disk, and not as served"),
        ("parameters", {"P": {"string_value": "x"}}, "parameters['P'].string_value is 'v'"),
        ("platform", "", "platform is 'pytorch_libtorch' on disk and '' as served"),
        ("model_warmup", [{"name": "w", "batch_size": 1, "inputs": {"A": {"data_type": "TYPE_FP32",
          "dims": [3, 1], "random_data": True}}}], "model_warmup[0].inputs['A'].zero_data is set"),
        ("metric_tags", {"t": "x"}, "metric_tags['t'] is 'u' on disk and 'x' as served"),
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


@pytest.mark.parametrize(
    ("text", "served", "told"),
    [
        # What Triton, or a backend that completes configurations, takes for "not said".
        ("instance_group [ { } ]", {"instance_group": [{"kind": "KIND_GPU", "count": 1}]}, ""),
        ("instance_group { kind: KIND_AUTO count: 0 name: '' }",
         {"instance_group": [{"kind": "KIND_CPU", "count": 1, "name": "m_0"}]}, ""),
        ("max_batch_size: 0 platform: '' default_model_filename: ''",
         {"max_batch_size": 4, "platform": "onnxruntime_onnx", "default_model_filename": "x"}, ""),
        ("sequence_batching { max_sequence_idle_microseconds: 0 }",
         {"sequence_batching": {"max_sequence_idle_microseconds": 1000000}}, ""),
        # Every other zero that is written down is a value.
        ("dynamic_batching { max_queue_delay_microseconds: 0 }",
         {"dynamic_batching": {"max_queue_delay_microseconds": 7}},
         "dynamic_batching.max_queue_delay_microseconds is 0 on disk and 7"),
        ("model_transaction_policy { decoupled: false }",
         {"model_transaction_policy": {"decoupled": True}}, "decoupled is False on disk and True"),
        ("optimization { priority: PRIORITY_DEFAULT }",
         {"optimization": {"priority": "PRIORITY_MIN"}},
         "priority is 'PRIORITY_DEFAULT' on disk and 'PRIORITY_MIN'"),
        ("dynamic_batching { }", {"sequence_batching": {}}, "dynamic_batching is set on disk, and not"),
        ("version_policy { all { } }", {"version_policy": {"latest": {}}}, "version_policy.all is"),
        ('input { name: "A" reshape { shape: [ ] } }',
         {"input": [{"name": "A", "reshape": {"shape": [1]}}]}, "input[0].reshape is { } on disk"),
        ("instance_group { kind: KIND_CPU rate_limiter { resources { name: 'R' count: 2 } } }",
         {"instance_group": [{"kind": "KIND_CPU", "rate_limiter": {"resources": [{"name": "R"}]}}]},
         "instance_group[0].rate_limiter.resources[0].count is 2"),
        ("instance_group { kind: KIND_GPU gpus: [ 0, 1 ] }",
         {"instance_group": [{"kind": "KIND_GPU", "gpus": [0]}]}, "gpus has 2 elements"),
        ("dynamic_batching { priority_queue_policy { key: 1 value { max_queue_size: 3 } } }",
         {"dynamic_batching": {"priority_queue_policy": {"1": {}}}},
         "dynamic_batching.priority_queue_policy[1].max_queue_size is 3 on disk and 0"),
        ("parameters { key: 'P' }", {"parameters": {}}, "parameters['P'] is set on disk, and not"),
        ("parameters { key: 'P' value { string_value: '' } }",
         {"parameters": {"P": {"string_value": "x"}}}, "parameters['P'].string_value is '' on disk"),
        # A field of a newer release is no field that could be compared.
        ("field_of_2030: 5  max_batch_size: 3", {"max_batch_size": 2}, "max_batch_size is 3"),
    ],
)  # fmt: skip
def test_what_the_text_says(text: str, served: dict[str, Any], told: str) -> None:
    lost = [field.text for field in lost_fields(text, parse_served(served))]
    assert len(lost) == bool(told)
    assert told in (lost or [""])[0]


def test_losses_have_lines_and_sides() -> None:
    text = 'name: "m"\n\nmax_batch_size: 8\nbackend: "a"\n'
    served = parse_served({"name": "m", "backend": "b"})
    lost = lost_fields(text, served, sides=("over HTTP", "over gRPC"))
    assert [(field.line, field.text) for field in lost] == [
        (3, "max_batch_size is 8 over HTTP and 0 over gRPC"),
        (4, "backend is 'a' over HTTP and 'b' over gRPC"),
    ]
    assert fields_set(text) == 3
