"""Control tensors of a sequence batcher: which there are, and what a load says against them."""

from __future__ import annotations

from typing import Any

from torchscript_config import TENSOR_TYPES, Config
from torchscript_naming import has_index
from torchscript_refusal import INTERNAL, INVALID_ARG, Refusal

_BOOLEAN = ("CONTROL_SEQUENCE_START", "CONTROL_SEQUENCE_END", "CONTROL_SEQUENCE_READY")
_CORRID = "CONTROL_SEQUENCE_CORRID"
_VALUES = ("int32_false_true", "fp32_false_true", "bool_false_true")


def control_tensors(config: Config) -> list[str]:
    """Names of the control tensors, one entry per kind; raises :class:`Refusal`.

    Two kinds on one tensor count twice towards the number of inputs, as in the C++ backend.
    """
    if not config.sequence:
        return []
    names = []
    for kind in (*_BOOLEAN, _CORRID):
        found = _find(config, kind)
        if found is None:
            continue
        name, control = found
        if not has_index(name):
            raise Refusal(
                INTERNAL, f"input '{name}' does not follow <name>__<index> naming convention."
            )
        data_type = control.get("data_type", "")
        if kind == _CORRID and data_type not in TENSOR_TYPES:
            raise Refusal(
                INTERNAL, f"input '{name}' type '{data_type}' is not supported by PyTorch."
            )
        names.append(name)
    return names


def _find(config: Config, kind: str) -> tuple[str, dict[str, Any]] | None:
    assert config.sequence is not None
    model = config.name
    seen: set[str] = set()
    found: tuple[str, dict[str, Any]] | None = None
    for tensor in config.sequence.get("control_input", ()):
        name = tensor.get("name", "")
        if not name:
            raise _refused(f"sequence batching control tensor must have a name for {model}")
        if name in seen:
            raise _refused(
                f"sequence batching control tensor '{name}' is specified for multiple control "
                f"kinds for {model}"
            )
        seen.add(name)
        for control in tensor.get("control", ()):
            if control.get("kind") != kind:
                continue
            if found is not None:
                raise _refused(f"sequence batching specifies multiple {kind} tensors for {model}")
            _check_values(control, kind, model)
            found = (name, control)
    return found


def _check_values(control: dict[str, Any], kind: str, model: str) -> None:
    given = [key for key in _VALUES if control.get(key)]
    if kind == _CORRID:
        if given:
            raise _refused(
                "sequence batching must not specify either 'int32_false_true', "
                f"'fp32_false_true' or 'bool_false_true' for {kind} for {model}"
            )
        return
    if not given:
        raise _refused(
            "sequence batching must specify either 'int32_false_true', 'fp32_false_true' or "
            f"'bool_false_true' for {kind} for {model}"
        )
    if len(given) > 1:
        raise _refused(
            "sequence batching specifies more than one from 'int32_false_true', "
            f"'fp32_false_true' and 'bool_false_true' for {kind} for {model}"
        )
    if len(control[given[0]]) != 2:
        raise _refused(
            f"sequence batching control '{given[0]}' must have exactly 2 entries for {kind} for "
            f"{model}"
        )


def _refused(text: str) -> Refusal:
    return Refusal(INVALID_ARG, text)
