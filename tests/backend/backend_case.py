"""The table: configuration x model x request -> what NVIDIA's C++ backend answers.

``source`` says how we know. "seen": NVIDIA's backend r24.10 was watched doing exactly this
(``pytorch-backend.md`` N and ``triton.md`` 2.x are those notes); "read": read in its public source,
r24.10, and not compared; "ours": the C++ backend crashes or reads stray memory there, or it is a
limit of a Python-based backend, and the text is our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

INVALID, INTERNAL, UNAVAILABLE = "Invalid argument", "Internal", "Unavailable"


@dataclass(frozen=True)
class Load:
    """The model does not load: Triton's name of the code, and the text."""

    code: str
    text: str
    #: Compare the beginning only, where the rest is torch's own and changes with its version.
    begins: bool = False


@dataclass(frozen=True)
class Ask:
    """One request: values by input, and the outputs or the HTTP status and text."""

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any] | None = None
    status: int = 200
    text: str = ""
    begins: bool = False
    request_id: str = ""


@dataclass(frozen=True)
class Case:
    """One model. ``{model}``, ``{path}`` in texts are the model's name and version directory."""

    name: str
    module: str
    config: str
    source: str
    load: Load | None = None
    asks: tuple[Ask, ...] = ()
    #: Arguments for the module's constructor, by name of a torch dtype or as they are.
    arguments: tuple[Any, ...] = ()
    #: "file", "train", "none", "directory", "text", "state_dict", "empty", "elsewhere"
    artifact: str = "file"
    versions: tuple[int, ...] = (1,)
    #: Texts that the server's log has to contain, and must not contain.
    logs: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    #: Only with numpy 1.26 in the server's Python.
    strings: bool = False
    notes: str = field(default="", compare=False)


def io(kind: str, *tensors: tuple[Any, ...]) -> str:
    """``input`` or ``output`` blocks from (name, type, dims[, more])."""
    blocks = []
    for name, data_type, dims, *more in tensors:
        sizes = ", ".join(map(str, dims))
        blocks.append(
            f'{kind} {{ name: "{name}" data_type: TYPE_{data_type} dims: [ {sizes} ] '
            f"{' '.join(more)} }}"
        )
    return "\n".join(blocks)


def config(
    inputs: str = "x", outputs: str = "y", *, batch: int = 0, dims: str = "2", more: str = ""
) -> str:
    """FP32 tensors by name, separated by blanks; all with the same ``dims``."""
    sizes = [size for size in dims.split() if size]
    return "\n".join(
        (
            f"max_batch_size: {batch}",
            io("input", *((name, "FP32", sizes) for name in inputs.split())),
            io("output", *((name, "FP32", sizes) for name in outputs.split())),
            more,
        )
    )


def parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'


def f32(*rows: Any) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


def texts(*values: bytes) -> np.ndarray:
    array = np.empty(len(values), dtype=np.object_)
    array[:] = values
    return array


X = f32(1, 2)
XB = f32([1, 2], [3, 4])
FALLBACK_IN = (
    "or previous input(s) are neither an input argument to the model '{model}' nor do they follow "
    "the <name>__<index> naming convention. Falling back to enforcing strict ordering from model "
    "configuration."
)
FALLBACK_OUT = (
    "or previous output(s) of the model '{model}' do not follow the <name>__<index> naming "
    "convention. Falling back to enforcing strict ordering from model configuration."
)
TWO = {"left": f32(5, 7), "right": f32(1, 2)}
EXEC = "PyTorch execute failure: "
SEQUENCE = "sequence_batching {{ direct {{ }} {0} }}"


def control(name: str, kind: str, values: str = "fp32_false_true: [ 0, 1 ]") -> str:
    return (
        f'control_input {{ name: "{name}" control {{ kind: CONTROL_SEQUENCE_{kind} {values} }} }}'
    )
