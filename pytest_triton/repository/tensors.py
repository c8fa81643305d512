"""Tensors by name, type and shape, in Triton's own vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

#: Wire name ("FP32") -> numpy's. BF16 has no numpy type and travels as its 16 raw bits.
NUMPY_OF: Mapping[str, str] = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BF16": "uint16",
    "BYTES": "object",
}
_WIRE_OF = {numpy: wire for wire, numpy in NUMPY_OF.items() if wire != "BF16"}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model.

    ``shape`` is without the batch dimension when the model batches. A dimension is a
    positive size, -1 (any size), or the name of an axis: axes of one name have one size
    within a request, as the token axis of ``input_ids`` and ``attention_mask`` has.
    """

    name: str
    datatype: str
    shape: tuple[int | str, ...]

    def __post_init__(self) -> None:
        if self.datatype not in NUMPY_OF:
            raise ValueError(f"{self.name}: {self.datatype!r} is none of {', '.join(NUMPY_OF)}")

    @property
    def dims(self) -> tuple[int, ...]:
        """The shape as config.pbtxt writes it: named axes become -1."""
        return tuple(-1 if isinstance(size, str) else size for size in self.shape)


def config_type(datatype: str) -> str:
    """The name that config.pbtxt uses: ``FP32`` -> ``TYPE_FP32``, ``BYTES`` -> ``TYPE_STRING``."""
    return "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"


def wire_type(config_name: str) -> str:
    """The inverse of :func:`config_type`; ``TYPE_INVALID`` gives ``INVALID``."""
    return "BYTES" if config_name == "TYPE_STRING" else config_name.removeprefix("TYPE_")


#: Bytes of one element by the number that config.pbtxt's DataType has; text has none.
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 2, 8: 4, 9: 8, 10: 2, 11: 4, 12: 8, 14: 2}


def bytes_of(data_type: int) -> int:
    """Bytes of one element of a DataType (TYPE_FP32 is 11); 0 for TYPE_STRING."""
    return _BYTES.get(data_type, 0)


def datatype_of(array: np.ndarray) -> str:
    """Triton's wire name of an array's type; strings of any kind are ``BYTES``."""
    if array.dtype.kind in "SUO":
        return "BYTES"
    try:
        return _WIRE_OF[array.dtype.name]
    except KeyError:
        raise ValueError(f"Triton has no data type for numpy's {array.dtype}") from None
