"""What Triton's PyTorch backend makes of forward(): checked on the file, before a server does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_triton.export.interface import ExportRefused, Signature
from pytest_triton.export.running import indices
from pytest_triton.repository.tensors import TensorSpec


def naming_of(arguments: Sequence[str], inputs: Sequence[TensorSpec]) -> str:
    """How the backend finds the inputs: "arguments", "index", or "order" (of the configuration)."""
    names = [tensor.name for tensor in inputs]
    if all(name in arguments for name in names):
        return "arguments"
    return "index" if indices(names) is not None else "order"


def check_forward(scripted: Any, order: Sequence[str], signature: Signature) -> str:
    """The naming convention that holds for the file. Raises ExportRefused for what cannot load.

    ``order`` is the order in which the proof passes the inputs; the backend must come to the
    same one from the names alone.
    """
    declared = scripted.forward.schema.arguments[1:]
    for argument in declared:
        if argument.type.kind() != "TensorType":
            raise ExportRefused(
                f"forward's argument {argument.name!r} is {argument.type.str()}: Triton's PyTorch "
                "backend passes tensors only and refuses to load the file",
                "give it as a Tensor, or fix it inside the module: a wrapper whose forward takes "
                "the tensors alone",
            )
    names = [argument.name for argument in declared]
    if len(names) != len(signature.inputs):
        raise ExportRefused(
            f"forward takes {len(names)} tensors ({', '.join(names)}) and "
            f"{len(signature.inputs)} inputs are declared "
            f"({', '.join(tensor.name for tensor in signature.inputs)})",
            "declare every argument; Triton has no optional inputs for PyTorch models",
        )
    convention = naming_of(names, signature.inputs)
    if convention == "index":
        numbers = sorted(indices([tensor.name for tensor in signature.inputs]) or [])
        if numbers != list(range(len(numbers))):
            raise ExportRefused(
                f"the indices in the input names are {numbers}",
                f"number them from __0 to __{len(numbers) - 1}, each once",
            )
    if convention == "arguments" and sorted(order, key=names.index) != list(order):
        raise ExportRefused(
            f"the file's forward takes ({', '.join(names)}), the module's ({', '.join(order)})",
            "name the inputs <name>__<index>, in the order of the arguments",
        )
    return convention
