"""The types of an archive's tensors: the storages that its pickles name. Nothing is unpickled."""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from typing import Literal

from pytest_triton.repository.archive.zipped import BrokenArchive, Records

Floating = Literal["FP16", "BF16", "FP32", "FP64"]

#: Bytes of a pickle that are read to its end; large models have some hundred kB.
_MAX_PICKLE = 1024 * 1024
_FLOATING: dict[str, Floating] = {
    "HalfStorage": "FP16", "BFloat16Storage": "BF16", "FloatStorage": "FP32",
    "DoubleStorage": "FP64",
}  # fmt: skip
_INTEGERS = frozenset({
    "ByteStorage", "CharStorage", "ShortStorage", "IntStorage", "LongStorage", "BoolStorage",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class WeightUse:
    """An argument of forward that meets a weight in an operator which wants one type of both."""

    #: Its position, without self.
    argument: int
    #: ``linear``, ``conv2d``, …
    operator: str
    #: The type of the weight.
    type: Floating
    #: An integer is still an integer there.
    exact: bool


def floating_type(records: Records, name: str) -> tuple[Floating, bool] | None:
    """The one floating-point type of a pickle's tensors, and whether there are integers too.

    None when there are several, others (quantised, complex), or the pickle tells too little.
    """
    if name not in records or records.size(name) > _MAX_PICKLE:
        return None
    storages: set[str] = set()
    last = ""
    try:
        for opcode, value, _ in pickletools.genops(records.read(name, _MAX_PICKLE)):
            last = opcode.name
            if last == "STACK_GLOBAL":
                return None  # torch writes none
            if last == "GLOBAL":
                module, _, short = str(value).partition(" ")
                if module.startswith("torch") and short.endswith("Storage"):
                    storages.add(short)
    except (ValueError, IndexError, BrokenArchive):
        return None
    floating = storages - _INTEGERS
    if last != "STOP" or len(floating) != 1:
        return None
    found = _FLOATING.get(floating.pop())
    return (found, bool(storages & _INTEGERS)) if found else None
