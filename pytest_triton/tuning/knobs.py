"""Settings of a configuration that a minimal one would not have, and how each is taken back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_triton.copies import Edit

#: More settings of one model than this are not measured; the first ones are.
MOST = 6


@dataclass(frozen=True)
class Knob:
    """One setting. ``name`` as in config.pbtxt; ``value`` for people; ``revert`` edits a
    ModelConfig message."""

    name: str
    value: str
    revert: Edit


def knobs_of(config: Any) -> list[Knob]:
    """The settings of a ModelConfig message that concern speed, those that matter most first.

    Left out: what says what the model is (inputs, outputs, max_batch_size, version_policy), a
    response cache, which is no tuning of the model, and model_warmup, which a warm measurement
    does not see.
    """
    found: list[Knob] = []
    batching = config.dynamic_batching
    if config.HasField("dynamic_batching"):
        found.append(Knob("dynamic_batching", "on", _clear("dynamic_batching")))
        if batching.preferred_batch_size:
            sizes = ", ".join(str(size) for size in batching.preferred_batch_size)
            found.append(
                Knob("preferred_batch_size", f"[{sizes}]", _batching("preferred_batch_size"))
            )
        if batching.max_queue_delay_microseconds:
            found.append(
                Knob(
                    "max_queue_delay_microseconds",
                    str(batching.max_queue_delay_microseconds),
                    _batching("max_queue_delay_microseconds"),
                )
            )
    counts = [group.count for group in config.instance_group]
    if counts and (len(counts) > 1 or max(counts) > 1):
        found.append(Knob("instance_group", f"count {sum(counts)}", _one_instance))
    found += [
        Knob(f"parameters {key}", config.parameters[key].string_value, _parameter(key))
        for key in sorted(config.parameters)
        if key not in _NOT_SPEED
    ]
    if config.HasField("optimization") and config.optimization.ListFields():
        found.append(Knob("optimization", "set", _clear("optimization")))
    return found[:MOST]


#: Parameters of backends that name files and places, not ways to compute.
_NOT_SPEED = frozenset({"EXECUTION_ENV_PATH", "FORCE_CPU_ONLY_INPUT_TENSORS"})


def _clear(field: str) -> Edit:
    def edit(config: Any) -> None:
        config.ClearField(field)

    return edit


def _batching(field: str) -> Edit:
    def edit(config: Any) -> None:
        if config.HasField("dynamic_batching"):
            config.dynamic_batching.ClearField(field)

    return edit


def _parameter(key: str) -> Edit:
    def edit(config: Any) -> None:
        del config.parameters[key]

    return edit


def _one_instance(config: Any) -> None:
    del config.instance_group[1:]
    config.instance_group[0].count = 1
