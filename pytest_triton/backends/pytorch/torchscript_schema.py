"""What ``forward`` takes, against the configuration: the checks of a load, in their order.

The result is a :class:`Plan`, all that execution has to know about names and positions.
``schema`` is torch's ``FunctionSchema`` (``arguments[i].name``, ``.type.kind()``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torchscript_naming as naming
from torchscript_config import TENSOR_TYPES, Config
from torchscript_refusal import INTERNAL, INVALID_ARG, Refusal
from torchscript_sequence import control_tensors


@dataclass(frozen=True)
class Plan:
    """Positions by name. ``positions`` covers every tensor that reaches ``forward``."""

    dict_input: bool
    #: Names of the tensor arguments of ``forward`` in order, empty for a dict model.
    arguments: tuple[str, ...]
    #: Position of each input of the configuration, control, state and batch input.
    positions: dict[str, int]
    #: Element in the result of ``forward`` for each output and state, sorted by name.
    outputs: dict[str, int]
    #: Triton type without ``TYPE_`` that each of ``outputs`` has to have.
    types: dict[str, str]


def make_plan(config: Config, schema: Any, warn: Callable[[str], None]) -> Plan:
    """Raises :class:`Refusal` with the first check that fails, as the C++ backend orders them."""
    controls = control_tensors(config)
    expected = len(config.inputs) + len(config.batch_inputs) + len(controls)
    expected += len(config.states or ())
    dict_input, arguments = _arguments(config, schema, expected)
    positions = {name: naming.index_of(name) for name in controls}
    positions.update(_input_positions(config, arguments, dict_input, warn))
    outputs, types = _outputs(config, warn)
    return Plan(
        dict_input=dict_input,
        arguments=arguments,
        positions=positions,
        outputs=dict(sorted(outputs.items())),
        types=types,
    )


def _arguments(config: Config, schema: Any, expected: int) -> tuple[bool, tuple[str, ...]]:
    arguments = list(schema.arguments)
    if arguments and arguments[0].type.kind() == "ClassType":
        arguments = arguments[1:]
    if len(arguments) == 1 and arguments[0].type.kind() == "DictType":
        return True, ()
    if any(argument.type.kind() == "DictType" for argument in arguments[1:]):
        raise Refusal(
            INTERNAL,
            "Multiple inputs of kind DictType were detected. Only a single input of type "
            "Dict(str, Tensor) is supported.",
        )
    for argument in arguments:
        if argument.type.kind() not in ("TensorType", "ListType"):
            raise Refusal(
                INTERNAL,
                f"An input of type '{type_text(argument.type)}' was detected in the model. Only a "
                "single input of type Dict(str, Tensor) or input(s) of type Tensor are supported.",
            )
    if arguments and len(arguments) != expected:
        raise Refusal(
            INVALID_ARG,
            f"unable to load model '{config.name}', configuration expects {expected} inputs, "
            f"model provides {len(arguments)}",
        )
    return False, tuple(argument.name for argument in arguments)


def type_text(kind: Any) -> str:
    """``c10::Type::str()``: the form of C++, not that of Python annotations."""
    text: str = kind.str() if hasattr(kind, "str") else str(kind)
    return text


def _input_positions(
    config: Config,
    arguments: tuple[str, ...],
    dict_input: bool,
    warn: Callable[[str], None],
) -> dict[str, int]:
    if not config.inputs:
        raise Refusal(
            INTERNAL, "model configuration must contain at least one input, none were specified."
        )
    convention = naming.decide(config, arguments, warn)
    positions: dict[str, int] = {}

    def place(name: str, order: int) -> None:
        index = order if dict_input else naming.position(convention, name, order, arguments)
        if index is not None:
            positions[name] = index

    for order, item in enumerate(config.inputs):
        place(item.name, order)
        _check_type(config, item.data_type, "input", item.name)
        _check_string(config, item.data_type, item.shape, "input", item.name)
    for order, state in enumerate(config.states or ()):
        place(state.input_name, order)
        _check_type(config, state.data_type, "input state", state.input_name)
        _check_string(config, state.data_type, (), "input", state.input_name)
    order = len(config.inputs)
    for batch_input in config.batch_inputs:
        for name in batch_input.targets:
            place(name, order)
            order += 1
    return positions


def _outputs(config: Config, warn: Callable[[str], None]) -> tuple[dict[str, int], dict[str, str]]:
    if not config.outputs:
        raise Refusal(
            INTERNAL, "model configuration must contain at least one output, none were specified."
        )
    convention = naming.decide(config, (), warn)
    positions: dict[str, int] = {}
    types: dict[str, str] = {}

    def add(name: str, data_type: str, index: int) -> None:
        positions[name] = index
        # A tensor is compared with INT32 where a string is declared: the C++ backend's default.
        types[name] = data_type[5:] if data_type in TENSOR_TYPES else "INT32"

    for order, item in enumerate(config.outputs):
        index = naming.position(convention, item.name, order, ())
        _check_type(config, item.data_type, "output", item.name)
        _check_string(config, item.data_type, item.shape, "output", item.name)
        add(item.name, item.data_type, order if index is None else index)
    for state in config.states or ():
        _check_type(config, state.data_type, "state", state.output_name)
        _check_string(config, state.data_type, state.shape, "output", state.output_name)
        add(state.output_name, state.data_type, naming.index_of(state.output_name))
    return positions, types


def _check_type(config: Config, data_type: str, what: str, name: str) -> None:
    if data_type not in TENSOR_TYPES and data_type != "TYPE_STRING":
        raise Refusal(
            INTERNAL,
            f"unsupported datatype {data_type} for {what} '{name}' for model '{config.name}'",
        )


def _check_string(
    config: Config, data_type: str, shape: tuple[int, ...], what: str, name: str
) -> None:
    if data_type == "TYPE_STRING" and len(shape) + config.batching > 1:
        raise Refusal(
            INTERNAL,
            f"Triton only supports 1 dimensional List of String as {what} for '{name}' for model "
            f"'{config.name}'",
        )
