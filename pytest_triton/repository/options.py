"""What a model in a repository can be told: typed options, and config.pbtxt out of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pytest_triton.errors import ToolError
from pytest_triton.repository.config import ModelConfig
from pytest_triton.repository.tensors import TensorSpec, config_type

Edit = Callable[[ModelConfig], object]


class BuildRefused(ToolError):
    """What was asked for is no model that Triton could serve."""


@dataclass(frozen=True, slots=True)
class DynamicBatching:
    """``dynamic_batching { … }``; the defaults batch what queues up and delay nobody."""

    max_queue_delay_microseconds: int = 0
    preferred_batch_size: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class InstanceGroup:
    """``instance_group [ { … } ]``; KIND_AUTO uses GPUs when there are any."""

    count: int = 1
    kind: Literal["KIND_AUTO", "KIND_CPU", "KIND_GPU", "KIND_MODEL"] = "KIND_AUTO"
    gpus: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an ensemble; maps go from the model's tensor to the ensemble's."""

    model: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    version: int = -1


@dataclass(frozen=True, slots=True)
class Options:
    """What every kind of model can have besides its tensors."""

    max_batch_size: int = 8
    dynamic_batching: DynamicBatching | None = None
    #: "latest", "all", or the versions that are served.
    version_policy: Literal["latest", "all"] | Sequence[int] | None = None
    instance_groups: Sequence[InstanceGroup] = ()
    #: Model parameters, such as INFERENCE_MODE.
    parameters: Mapping[str, str] = field(default_factory=dict)
    #: Output name -> labels, written to ``<output>_labels.txt``.
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    optional_inputs: Sequence[str] = ()
    decoupled: bool = False
    #: Further files below the model's directory: relative path -> content.
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    #: Changes the ModelConfig just before it is written: anything that has no option here.
    edit: Edit | None = None
    #: Instead of everything above: this text as config.pbtxt, right or wrong.
    config: str | None = None


def configure(
    config: ModelConfig,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    options: Options,
) -> None:
    """Fill the message from the options."""
    types = config.DESCRIPTOR.fields_by_name["input"].message_type.fields_by_name["data_type"]
    numbers = types.enum_type.values_by_name
    config.max_batch_size = options.max_batch_size
    for kind, tensors in ((config.input, inputs), (config.output, outputs)):
        for tensor in tensors:
            number = numbers[config_type(tensor.datatype)].number
            kind.add(name=tensor.name, data_type=number, dims=tensor.dims)
    for entry in config.input:
        if entry.name in options.optional_inputs:
            entry.optional = True
    for entry in config.output:
        if entry.name in options.labels:
            entry.label_filename = f"{entry.name}_labels.txt"
    if options.dynamic_batching is not None:
        batching = config.dynamic_batching
        batching.SetInParent()
        batching.preferred_batch_size.extend(options.dynamic_batching.preferred_batch_size)
        if options.dynamic_batching.max_queue_delay_microseconds:
            delay = options.dynamic_batching.max_queue_delay_microseconds
            batching.max_queue_delay_microseconds = delay
    policy = options.version_policy
    if policy == "all":
        config.version_policy.all.SetInParent()
    elif policy == "latest":
        config.version_policy.latest.num_versions = 1
    elif policy is not None:
        config.version_policy.specific.versions.extend(int(version) for version in policy)
    for group in options.instance_groups:
        kinds = config.instance_group.add(count=group.count, gpus=group.gpus)
        kinds.kind = kinds.Kind.Value(group.kind)
    for key, value in options.parameters.items():
        config.parameters[key].string_value = value
    if options.decoupled:
        config.model_transaction_policy.decoupled = True
    if options.edit is not None:
        options.edit(config)


def check(
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    options: Options,
    versions: Collection[int],
) -> None:
    """Refuse what can be seen to be wrong without a server. Raises BuildRefused."""
    if options.max_batch_size < 0:
        raise BuildRefused(f"max_batch_size is {options.max_batch_size}", "0 or more")
    if options.dynamic_batching is not None and options.max_batch_size == 0:
        raise BuildRefused(
            "dynamic_batching without a batch dimension: Triton accepts it and never batches",
            "max_batch_size of 1 or more, or no dynamic_batching",
        )
    for kind, tensors in (("input", inputs), ("output", outputs)):
        names = [tensor.name for tensor in tensors]
        if not names:
            raise BuildRefused(f"no {kind}", f"give at least one {kind}")
        if len(set(names)) < len(names):
            raise BuildRefused(f"an {kind} name occurs twice: {names}", "one name per tensor")
        for tensor in tensors:
            if any(size == 0 or size < -1 for size in tensor.dims):
                raise BuildRefused(
                    f"{kind} {tensor.name!r} has dims {list(tensor.dims)}",
                    "sizes are 1 or more, or -1 for a size that varies",
                )
    if not versions or any(version < 1 for version in versions):
        raise BuildRefused(f"versions {sorted(versions)}", "at least one, from 1 on")
    unknown = {*options.labels} - {tensor.name for tensor in outputs}
    unknown |= {*options.optional_inputs} - {tensor.name for tensor in inputs}
    if unknown:
        raise BuildRefused(
            f"no tensor is called {sorted(unknown)}", "correct labels or optional_inputs"
        )
