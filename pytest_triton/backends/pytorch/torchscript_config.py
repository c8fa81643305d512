"""The model configuration, as far as the backend reads it, out of Triton's JSON.

Shapes are without the batch dimension, as in config.pbtxt. ``reshape``, where given, replaces
``dims``: it is what the model sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torchscript_refusal import INVALID_ARG, Refusal

#: Types that TorchScript tensors and Triton share, by the name in the configuration.
TENSOR_TYPES = frozenset(
    "TYPE_" + name
    for name in ("BOOL", "UINT8", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64")
)
#: Every type that Triton itself knows.
KNOWN_TYPES = TENSOR_TYPES | {
    "TYPE_UINT16",
    "TYPE_UINT32",
    "TYPE_UINT64",
    "TYPE_BF16",
    "TYPE_STRING",
}
BATCH_INPUT_KINDS = (
    "BATCH_ELEMENT_COUNT",
    "BATCH_ACCUMULATED_ELEMENT_COUNT",
    "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO",
    "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE",
    "BATCH_ITEM_SHAPE",
    "BATCH_ITEM_SHAPE_FLATTEN",
)


@dataclass(frozen=True)
class TensorConfig:
    """One input or output of the configuration."""

    name: str
    data_type: str
    shape: tuple[int, ...]
    ragged: bool = False


@dataclass(frozen=True)
class BatchInput:
    """One ``batch_input``: a tensor that Triton makes out of the batch itself."""

    kind: str
    targets: tuple[str, ...]
    data_type: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class BatchOutput:
    """One ``batch_output``: an output that is scattered by the shape of an input."""

    targets: tuple[str, ...]
    sources: tuple[str, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class State:
    """One state of ``sequence_batching``."""

    input_name: str
    output_name: str
    data_type: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Config:
    """What the backend needs of one model's configuration."""

    name: str
    max_batch_size: int
    inputs: tuple[TensorConfig, ...]
    outputs: tuple[TensorConfig, ...]
    batch_inputs: tuple[BatchInput, ...]
    batch_outputs: tuple[BatchOutput, ...]
    parameters: dict[str, str]
    filename: str
    sequence: dict[str, Any] | None
    states: tuple[State, ...] | None
    decoupled: bool = False

    @property
    def batching(self) -> bool:
        return self.max_batch_size > 0


def parse_config(raw: dict[str, Any]) -> Config:
    """Read Triton's JSON; raises :class:`Refusal` for what no C++ backend accepts.

    The order is that of the C++ backends' base class: batch inputs, batch outputs, inputs.
    """
    outputs = tuple(_tensor(item) for item in raw.get("output", ()))
    batch_inputs = tuple(_batch_input(item) for item in raw.get("batch_input", ()))
    max_batch_size = int(raw["max_batch_size"])
    batch_outputs = tuple(
        _batch_output(item, outputs, max_batch_size) for item in raw.get("batch_output", ())
    )
    inputs = []
    for item in raw.get("input", ()):
        if item.get("optional"):
            raise Refusal(
                INVALID_ARG,
                f"'optional' is set to true for input '{item['name']}' while the backend model "
                "doesn't support optional input",
            )
        inputs.append(_tensor(item))
    sequence = raw.get("sequence_batching")
    return Config(
        name=raw["name"],
        max_batch_size=max_batch_size,
        inputs=tuple(inputs),
        outputs=outputs,
        batch_inputs=batch_inputs,
        batch_outputs=batch_outputs,
        parameters={
            key: value.get("string_value", "") for key, value in raw.get("parameters", {}).items()
        },
        filename=raw.get("default_model_filename", ""),
        sequence=sequence,
        states=_states(sequence),
        decoupled=bool(raw.get("model_transaction_policy", {}).get("decoupled")),
    )


def _tensor(item: dict[str, Any]) -> TensorConfig:
    shape = item["reshape"].get("shape", ()) if "reshape" in item else item.get("dims", ())
    return TensorConfig(
        name=item["name"],
        data_type=item["data_type"],
        shape=tuple(int(size) for size in shape),
        ragged=bool(item.get("allow_ragged_batch")),
    )


def _batch_input(item: dict[str, Any]) -> BatchInput:
    kind = str(item["kind"])
    if kind not in BATCH_INPUT_KINDS:
        raise Refusal(INVALID_ARG, f"unexpected batch input kind '{kind}'")
    data_type = str(item["data_type"])
    if data_type not in KNOWN_TYPES:
        raise Refusal(INVALID_ARG, f"unexpected batch input data type '{data_type}'")
    return BatchInput(
        kind, tuple(item["target_name"]), data_type, tuple(item.get("source_input", ()))
    )


def _batch_output(
    item: dict[str, Any], outputs: tuple[TensorConfig, ...], max_batch_size: int
) -> BatchOutput:
    if item["kind"] != "BATCH_SCATTER_WITH_INPUT_SHAPE":
        raise Refusal(INVALID_ARG, f"unexpected batch output kind '{item['kind']}'")
    targets = tuple(item["target_name"])
    shape: tuple[int, ...] = next((out.shape for out in outputs if out.name == targets[0]), ())
    if max_batch_size != 0:
        shape = (-1, *shape)
    return BatchOutput(targets, tuple(item.get("source_input", ())), shape)


def _states(sequence: dict[str, Any] | None) -> tuple[State, ...] | None:
    """``None`` when the configuration has no ``state`` at all: that alone changes the rules."""
    if not sequence or not sequence.get("state"):
        return None
    return tuple(
        State(
            item["input_name"],
            item["output_name"],
            item["data_type"],
            tuple(int(size) for size in item.get("dims", ())),
        )
        for item in sequence["state"]
    )
