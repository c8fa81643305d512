"""What a module takes, where that can be told for certain: else a lesson in saying it.

``example_inputs`` of the module decides. Without it the first layer may: the module is run
once, and only when forward's one argument goes unchanged into a layer that knows its input
is anything derived.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pytest_triton.errors import Misused
from pytest_triton.export.cases import draw
from pytest_triton.export.interface import Signature
from pytest_triton.export.running import device_of, evaluation, seeded
from pytest_triton.repository.sidecar import Tensors
from pytest_triton.repository.tensors import TensorSpec, datatype_of

#: Rows and variable sizes of the example: numbers that stand for nothing else.
ROWS, SIZE = 2, 9
#: Pixels that are tried for a convolution, tokens for an embedding.
_PIXELS = (224, 256, 128, 96, 64, 32, 28, 299, 384, 512)
_TOKENS = (512, 256, 128, 64, 32)


@dataclass(frozen=True, slots=True)
class Request:
    """An example request with what is known of its inputs."""

    examples: Tensors
    inputs: tuple[TensorSpec, ...]
    axes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    #: Where it comes from, in words; empty: the caller said it.
    how: str = ""


def request_for(
    inputs: Sequence[TensorSpec],
    axes: Mapping[str, tuple[int, int]],
    ranges: Mapping[str, tuple[float, float]],
    *,
    max_batch_size: int,
    seed: int,
    how: str = "",
) -> Request:
    """An example drawn for inputs that are known."""
    signature = Signature(tuple(inputs), (), max_batch_size, dict(axes), dict(ranges))
    sizes = {
        name: max(low, min(high, max(low, SIZE) + at))
        for at, (name, (low, high)) in enumerate(axes.items())
    }
    try:
        examples = draw(signature, min(ROWS, max_batch_size), sizes, np.random.default_rng(seed))
    except ValueError as error:
        raise Misused(str(error), "strings and bfloat16 are not built here: use numbers") from None
    return Request(examples, tuple(inputs), dict(axes), dict(ranges), how)


def look(module: Any, *, max_batch_size: int, seed: int) -> Request:
    """What the module takes. Raises Misused with what to write when that is not certain."""
    given = getattr(module, "example_inputs", None)
    if given is not None:
        return _given(module, given() if callable(given) else given, max_batch_size)
    names = _required(module)
    if max_batch_size > 0 and len(names) == 1:
        layer = _first_layer(module)
        with evaluation(module), seeded(seed):
            found = _by_layer(module, names[0], layer)
        if found is not None:
            inputs, axes, ranges = found
            return request_for(
                inputs, axes, ranges, max_batch_size=max_batch_size, seed=seed,
                how=f"first layer: {layer}",
            )  # fmt: skip
    raise _lesson(module, names)


def _given(module: Any, value: Any, max_batch_size: int) -> Request:
    """``example_inputs``: a mapping, or tensors in the order of forward's arguments."""
    if not isinstance(value, Mapping):
        values = value if isinstance(value, (tuple, list)) else (value,)
        names = _arguments(module)[: len(values)]
        if len(names) < len(values):
            names = [f"INPUT__{index}" for index in range(len(values))]
        value = dict(zip(names, values, strict=True))
    examples = {str(name): _array(str(name), one) for name, one in value.items()}
    lead = 1 if max_batch_size > 0 else 0
    rows = {array.shape[:1] for array in examples.values()}
    if lead and (len(rows) > 1 or () in rows or not examples):
        raise Misused(
            "example_inputs have no common first dimension: "
            + ", ".join(f"{name} {list(array.shape)}" for name, array in examples.items()),
            "give one request with the batch dimension first, or say --max-batch-size 0",
        )
    if lead and rows == {(1,)} and max_batch_size > 1:
        # A trace of one row can take the batch for a constant.
        examples = {name: np.concatenate([one, one]) for name, one in examples.items()}
    inputs = tuple(
        TensorSpec(name, datatype_of(array), array.shape[lead:]) for name, array in examples.items()
    )
    return Request(examples, inputs, how="example_inputs of the module", ranges=_seen(examples))


def _seen(examples: Tensors) -> dict[str, tuple[float, float]]:
    """Integers are drawn from what the examples show: others may be out of a vocabulary."""
    return {
        name: (int(array.min()), int(array.max()) + 1)
        for name, array in examples.items()
        if array.dtype.kind in "iu" and array.size
    }


def _array(name: str, value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    try:
        array = np.asarray(value)
        datatype_of(array)
    except (TypeError, ValueError) as error:
        raise Misused(f"example_inputs: {name}: {error}", "give tensors or arrays") from None
    return array


def _arguments(module: Any) -> list[str]:
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [one.name for one in parameters if one.kind in kinds]


def _required(module: Any) -> list[str]:
    """Arguments of forward without a default; empty when it takes whatever comes."""
    try:
        parameters = inspect.signature(module.forward).parameters
    except (TypeError, ValueError):
        return []
    if any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):
        return []
    return [name for name in _arguments(module) if parameters[name].default is inspect._empty]


def _first_layer(module: Any) -> Any:
    """The first layer with an input of its own, in the order of registration."""
    import torch

    kinds = (torch.nn.Linear, torch.nn.Embedding, torch.nn.Conv1d, torch.nn.Conv2d)
    return next((child for child in module.modules() if isinstance(child, kinds)), None)


_Found = tuple[list[TensorSpec], dict[str, tuple[int, int]], dict[str, tuple[float, float]]]


def _by_layer(module: Any, name: str, layer: Any) -> _Found | None:
    import torch

    if isinstance(layer, torch.nn.Linear):
        datatype = _float(layer.weight.dtype)
        if datatype and _enters(module, layer, (ROWS, layer.in_features), layer.weight.dtype):
            return [TensorSpec(name, datatype, (layer.in_features,))], {}, {}
    if isinstance(layer, torch.nn.Conv2d):
        datatype = _float(layer.weight.dtype)
        fitting = [
            size
            for size in _PIXELS
            if _enters(module, layer, (ROWS, layer.in_channels, size, size), layer.weight.dtype)
        ]
        if datatype and len(fitting) == 1:  # several: nobody knows which one is meant
            shape = (layer.in_channels, fitting[0], fitting[0])
            return [TensorSpec(name, datatype, shape)], {}, {}
    if isinstance(layer, torch.nn.Embedding):
        for most in _TOKENS:
            if all(_enters(module, layer, (ROWS, n), torch.long) for n in (1, 7, most)):
                spec = TensorSpec(name, "INT64", ("length",))
                return [spec], {"length": (1, most)}, {name: (0, layer.num_embeddings)}
    return None


def _enters(module: Any, layer: Any, shape: tuple[int, ...], dtype: Any) -> bool:
    """Whether the module runs with this shape, and the layer gets the very tensor."""
    import torch

    given = torch.zeros(shape, dtype=dtype, device=device_of(module))
    seen: list[bool] = []
    handle = layer.register_forward_pre_hook(
        lambda _, received: seen.append(
            received[0].data_ptr() == given.data_ptr() and received[0].shape == given.shape
        )
    )
    try:
        with torch.no_grad():
            module(given)
    except Exception:
        return False
    finally:
        handle.remove()
    return bool(seen) and seen[0]


def _float(dtype: Any) -> str:
    import torch

    known = {torch.float32: "FP32", torch.float16: "FP16", torch.float64: "FP64"}
    return known.get(dtype, "")


def _lesson(module: Any, names: Sequence[str]) -> Misused:
    """What to write, as far as the module shows it."""
    import torch

    layer = _first_layer(module)
    name = names[0] if names else "INPUT__0"
    if isinstance(layer, torch.nn.Conv2d):
        first = f"--input {name}:FP32:{layer.in_channels},224,224"
    elif isinstance(layer, torch.nn.Embedding):
        first = (
            f"--input {name}:INT64:length --axis length=1:128 "
            f"--range {name}=0:{layer.num_embeddings}"
        )
    elif isinstance(layer, torch.nn.Linear):
        first = f"--input {name}:FP32:{layer.in_features}"
    else:
        first = f"--input {name}:FP32:4"
    more = "".join(f" --input {other}:FP32:4" for other in names[1:])
    takes = f"forward({', '.join(names)})" if names else "forward"
    return Misused(
        f"what {takes} takes cannot be told for certain",
        f"say it, without the batch:  {first}{more}\n"
        "            or give the module an attribute example_inputs: a dict of tensors, "
        "batch first",
    )
