"""config.pbtxt out of typed options, and the files that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from pytest_triton.repository.config import ModelConfig
from pytest_triton.repository.options import (
    DynamicBatching,
    InstanceGroup,
    Latest,
    ModelWarmup,
    Oldest,
    Options,
    QueuePolicy,
    SequenceBatching,
    WarmupInput,
)
from pytest_triton.repository.tensors import TensorSpec, config_type

#: max_batch_size where nothing says otherwise.
DEFAULT_BATCH = 8
#: Relative path -> content.
Files = dict[str, bytes]


def configure(
    config: ModelConfig,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    options: Options,
) -> Files:
    """Fill the message from the options; the files that belong to it."""
    files: Files = {}
    config.max_batch_size = (
        DEFAULT_BATCH if options.max_batch_size is None else options.max_batch_size
    )
    config.default_model_filename = options.default_model_filename
    _tensors(config, inputs, outputs, options)
    for name, labels in options.labels.items():
        files[_label_file(name)] = "".join(f"{label}\n" for label in labels).encode()
    _schedule(config, options, files)
    _version_policy(config, options)
    for group in options.instance_group:
        _instance_group(config, group)
    for key, value in options.parameters.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        config.parameters[key].string_value = text
    if options.response_cache:
        config.response_cache.enable = True
    if options.decoupled:
        config.model_transaction_policy.decoupled = True
    for sample in options.model_warmup:
        _warmup(config, sample, inputs, options, files)
    if options.edit is not None:
        options.edit(config)
    return files


def _label_file(output: str) -> str:
    """Beside config.pbtxt, whatever the output is called."""
    return f"{output}_labels.txt".replace("/", "_")


def _number(config: ModelConfig, datatype: str) -> int:
    kinds = config.DESCRIPTOR.file.enum_types_by_name["DataType"].values_by_name
    return int(kinds[config_type(datatype)].number)


def _set(message: Any, options: Any, *skip: str) -> None:
    """Every field that an option sets to something."""
    message.SetInParent()
    for one in fields(options):
        value = getattr(options, one.name)
        if one.name in skip or not value:
            continue
        if isinstance(value, (tuple, list)):
            getattr(message, one.name).extend(value)
        else:
            setattr(message, one.name, value)


def _tensors(
    config: ModelConfig,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    options: Options,
) -> None:
    for kind, tensors in ((config.input, inputs), (config.output, outputs)):
        for tensor in tensors:
            number = _number(config, tensor.datatype)
            entry = kind.add(name=tensor.name, data_type=number, dims=tensor.dims)
            if tensor.name in options.reshape:
                entry.reshape.SetInParent()
                entry.reshape.shape.extend(options.reshape[tensor.name])
    for entry in config.input:
        if entry.name in options.optional_inputs:
            entry.optional = True
        if entry.name in options.allow_ragged_batch:
            entry.allow_ragged_batch = True
    for entry in config.output:
        if entry.name in options.labels:
            entry.label_filename = _label_file(entry.name)


def _schedule(config: ModelConfig, options: Options, files: Files) -> None:
    batching = options.dynamic_batching
    free = not (config.HasField("ensemble_scheduling") or options.sequence_batching)
    if batching is None and config.max_batch_size > 1 and free and not options.decoupled:
        batching = DynamicBatching()
    if batching:
        _set(config.dynamic_batching, batching, "default_queue_policy", "priority_queue_policy")
        if batching.default_queue_policy is not None:
            _queue_policy(
                config.dynamic_batching.default_queue_policy, batching.default_queue_policy
            )
        for level, policy in batching.priority_queue_policy.items():
            _queue_policy(config.dynamic_batching.priority_queue_policy[level], policy)
    if options.sequence_batching is not None:
        _sequence(config, options.sequence_batching, files)


def _queue_policy(message: Any, policy: QueuePolicy) -> None:
    _set(message, policy, "timeout_action")
    if policy.timeout_action != "REJECT":
        message.timeout_action = message.TimeoutAction.Value(policy.timeout_action)


def _sequence(config: ModelConfig, sequence: SequenceBatching, files: Files) -> None:
    message = config.sequence_batching
    _set(message, sequence, "strategy", "control_input", "state")
    if sequence.strategy is not None:
        chosen = "oldest" if isinstance(sequence.strategy, Oldest) else "direct"
        _set(getattr(message, chosen), sequence.strategy)
    for control in sequence.control_input:
        entry = message.control_input.add(name=control.name).control.add()
        entry.kind = entry.Kind.Value(control.kind)
        if control.kind == "CONTROL_SEQUENCE_CORRID":
            entry.data_type = _number(config, control.datatype)
        else:
            first = control.false_true[0]
            kind = {bool: "bool", int: "int32", float: "fp32"}[type(first)]
            getattr(entry, f"{kind}_false_true").extend(control.false_true)
    for state in sequence.state:
        number = _number(config, state.datatype)
        entry = message.state.add(
            input_name=state.input_name,
            output_name=state.output_name,
            data_type=number,
            dims=state.shape,
        )
        if state.initial_state is None:
            continue
        start = entry.initial_state.add(name=state.input_name, data_type=number)
        if isinstance(state.initial_state, str):
            start.dims.extend(max(size, 1) for size in state.shape)
            start.zero_data = True
        else:
            start.dims.extend(state.initial_state.shape)
            start.data_file = f"{state.input_name}.bin".replace("/", "_")
            files[f"initial_state/{start.data_file}"] = raw_bytes(state.initial_state)


def _version_policy(config: ModelConfig, options: Options) -> None:
    policy = options.version_policy
    if policy == "all":
        config.version_policy.all.SetInParent()
    elif policy == "latest":
        config.version_policy.latest.num_versions = 1
    elif isinstance(policy, Latest):
        config.version_policy.latest.num_versions = policy.num_versions
    elif policy is not None:
        config.version_policy.specific.versions.extend(int(version) for version in policy)


def _instance_group(config: ModelConfig, group: InstanceGroup) -> None:
    entry = config.instance_group.add()
    _set(entry, group, "kind", "rate_limiter", "count")
    entry.count = group.count
    entry.kind = entry.Kind.Value(group.kind)
    if group.rate_limiter is not None:
        entry.rate_limiter.priority = group.rate_limiter.priority
        for name, count in group.rate_limiter.resources.items():
            entry.rate_limiter.resources.add(name=name, count=count)


def _warmup(
    config: ModelConfig,
    sample: ModelWarmup,
    inputs: Sequence[TensorSpec],
    options: Options,
    files: Files,
) -> None:
    entry = config.model_warmup.add(name=sample.name, count=sample.count)
    largest = max(config.max_batch_size, 1)
    entry.batch_size = largest if sample.batch_size is None else sample.batch_size
    for tensor in inputs:
        given = sample.inputs.get(tensor.name)
        if given is None and tensor.name in options.optional_inputs:
            continue
        value = entry.inputs[tensor.name]
        value.data_type = _number(config, tensor.datatype)
        if given is None:
            value.dims.extend(_sizes(tensor, sample.axes))
            value.zero_data = True
        elif isinstance(given, WarmupInput):
            value.dims.extend(given.shape)
            setattr(value, given.data, True)
        else:
            value.dims.extend(given.shape)
            value.input_data_file = f"{sample.name}_{tensor.name}.bin".replace("/", "_")
            files[f"warmup/{value.input_data_file}"] = raw_bytes(given)


def _sizes(tensor: TensorSpec, axes: Mapping[str, int]) -> Iterator[int]:
    for size in tensor.shape:
        yield axes.get(size, -1) if isinstance(size, str) else size


def raw_bytes(array: np.ndarray) -> bytes:
    """Little-endian values; each text has its length in front of it, as Triton reads it."""
    if array.dtype.kind in "SUO":
        encoded = [
            value if isinstance(value, bytes) else str(value).encode() for value in array.ravel()
        ]
        return b"".join(len(value).to_bytes(4, "little") + value for value in encoded)
    return array.astype(array.dtype.newbyteorder("<")).tobytes()
