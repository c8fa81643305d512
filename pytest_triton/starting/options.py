"""``--input NAME:TYPE:DIMS``, ``--axis NAME=LOW:HIGH``, ``--range NAME=LOW:HIGH``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pytest_triton.errors import Misused
from pytest_triton.repository.tensors import NUMPY_OF, TensorSpec

_EXAMPLE = "--input input_ids:INT64:length --axis length=1:128, --input image:FP32:3,224,224"
#: What people write, and what Triton calls it.
_OTHER = {
    "FLOAT": "FP32", "FLOAT32": "FP32", "FLOAT16": "FP16", "HALF": "FP16", "DOUBLE": "FP64",
    "FLOAT64": "FP64", "LONG": "INT64", "INT": "INT32", "STRING": "BYTES", "BFLOAT16": "BF16",
}  # fmt: skip


def parse_input(text: str) -> TensorSpec:
    """``name:FP32:3,224,224``: dims without the batch; a name is a dimension that varies."""
    parts = text.rsplit(":", 2)
    if len(parts) != 3 or not all(part.strip() for part in parts):
        raise Misused(f"--input {text!r} is not NAME:TYPE:DIMS", f"for example  {_EXAMPLE}")
    name, kind, dims = (part.strip() for part in parts)
    kind = kind.upper().removeprefix("TYPE_").removeprefix("TORCH.")
    if kind not in NUMPY_OF:
        meant = _OTHER.get(kind)
        remedy = f"write {meant}" if meant else f"one of {', '.join(NUMPY_OF)}"
        raise Misused(f"--input {text!r}: {kind} is no data type of Triton", remedy)
    shape: list[int | str] = []
    for dim in (part.strip() for part in dims.strip("[]").split(",")):
        if dim.isdecimal() and int(dim) > 0:
            shape.append(int(dim))
        elif re.fullmatch(r"[A-Za-z_]\w*", dim):
            shape.append(dim)
        else:
            raise Misused(
                f"--input {text!r}: {dim!r} is neither a size nor a name",
                "sizes are 1 or more; give a dimension that varies a name, and say how far:  "
                f"--input {name}:{kind}:length --axis length=1:128",
            )
    return TensorSpec(name, kind, tuple(shape))


def parse_limits(flag: str, texts: Sequence[str]) -> dict[str, tuple[int, int]]:
    """``NAME=LOW:HIGH`` several times."""
    found = {}
    for text in texts:
        match = re.fullmatch(r"\s*([^=]+?)\s*=\s*(-?\d+)\s*:\s*(-?\d+)\s*", text)
        if match is None or int(match[2]) > int(match[3]):
            example = "length=1:128" if flag == "--axis" else "input_ids=0:30522"
            raise Misused(f"{flag} {text!r} is not NAME=LOW:HIGH", f"for example  {flag} {example}")
        found[match[1]] = (int(match[2]), int(match[3]))
    return found


def check_axes(inputs: Sequence[TensorSpec], axes: Mapping[str, tuple[int, int]]) -> None:
    """Every named dimension has its limits, and the other way round."""
    named = {size for tensor in inputs for size in tensor.shape if isinstance(size, str)}
    if missing := sorted(named - set(axes)):
        raise Misused(
            f"how far may {missing[0]!r} vary?", f"say  --axis {missing[0]}=1:128, as is true"
        )
    if unknown := sorted(set(axes) - named):
        raise Misused(
            f"--axis {unknown[0]}: no input has a dimension of this name",
            f"for example  {_EXAMPLE}",
        )
    for name, (low, _) in axes.items():
        if low < 1:
            raise Misused(f"--axis {name} begins at {low}", "sizes are 1 or more")
