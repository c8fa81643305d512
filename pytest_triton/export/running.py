"""Run modules on named arrays the way Triton's PyTorch backend passes tensors to them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from pytest_triton.export.interface import ExportRefused
from pytest_triton.repository.sidecar import Tensors
from pytest_triton.repository.tensors import TensorSpec, datatype_of

Evaluate = Callable[[Tensors], dict[str, np.ndarray]]


def argument_order(module: Any, inputs: Sequence[TensorSpec]) -> list[str]:
    """Input names in the order of forward()'s arguments, as the PyTorch backend decides it.

    All names are arguments; or all are ``<name>__<index>``; or the order they are given in.
    """
    names = [tensor.name for tensor in inputs]
    try:
        arguments = list(inspect.signature(module.forward).parameters)
    except (TypeError, ValueError):
        arguments = [argument.name for argument in module.forward.schema.arguments[1:]]
    if all(name in arguments for name in names):
        return sorted(names, key=arguments.index)
    numbers = indices(names)
    if numbers is not None:
        return [name for _, name in sorted(zip(numbers, names, strict=True))]
    return names


def indices(names: Sequence[str]) -> list[int] | None:
    """The index behind the first ``__`` of every name, or None if one has none."""
    suffixes = [name.partition("__")[1:] for name in names]
    if all(mark and (not digits or digits.isdecimal()) for mark, digits in suffixes):
        return [int(digits or 0) for _, digits in suffixes]
    return None


def device_of(module: Any) -> Any:
    """Where the module's weights are; the CPU for one without weights."""
    import torch

    weights = (*module.parameters(), *module.buffers())
    return weights[0].device if weights else torch.device("cpu")


def arguments(inputs: Tensors, order: Sequence[str], device: Any) -> list[Any]:
    """Tensors of their own memory: a module may write into its arguments."""
    import torch

    arrays = (np.array(inputs[name], copy=True, order="C") for name in order)
    return [torch.from_numpy(array).to(device) for array in arrays]


def flat(result: Any) -> list[Any]:
    """A tensor, tuple or list of tensors as a list. Raises ExportRefused for anything else."""
    import torch

    values = list(result) if isinstance(result, (tuple, list)) else [result]
    for value in values:
        if not isinstance(value, torch.Tensor):
            raise ExportRefused(
                f"forward returns {type(value).__name__}; Triton's PyTorch backend takes a "
                "tensor or a tuple of tensors",
                "wrap the module: return the tensors that are wanted, as a tuple",
            )
    return values


def array_of(value: Any) -> np.ndarray:
    """A tensor as an array. Raises ExportRefused for types that numpy and Triton lack."""
    try:
        array: np.ndarray = value.detach().cpu().numpy()
        datatype_of(array)
    except (TypeError, ValueError):
        raise ExportRefused(
            f"forward returns {value.dtype}, which Triton's PyTorch backend does not serve",
            "convert the result inside the module, for example with .float()",
        ) from None
    return array


def evaluator(
    module: Any, order: Sequence[str], outputs: Sequence[TensorSpec], device: Any
) -> Evaluate:
    """The module as a function of named arrays. Raises ExportRefused on outputs that are not."""
    names = [tensor.name for tensor in outputs]
    # OUTPUT__1 is the second of the tuple wherever it is declared.
    positions = indices(names) or list(range(len(names)))

    def evaluate(inputs: Tensors) -> dict[str, np.ndarray]:
        values = flat(module(*arguments(inputs, order, device)))
        beyond = [n for n, at in zip(names, positions, strict=True) if at >= len(values)]
        if beyond:
            raise ExportRefused(
                f"output {beyond[0]!r} does not exist: forward returns {len(values)}",
                "declare the outputs that the module has, numbered from __0",
            )
        return {name: array_of(values[at]) for name, at in zip(names, positions, strict=True)}

    return evaluate


@contextmanager
def evaluation(module: Any) -> Iterator[None]:
    """``module.eval()`` for the block: a file that was saved in train mode stays in it for ever."""
    before = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for child, training in before:
            child.training = training


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's generator, seeded for the block; the caller's state is put back behind it."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
