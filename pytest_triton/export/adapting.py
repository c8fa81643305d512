"""Between a module and the file: what Triton's PyTorch backend does not take is converted.

The backend passes tensors by position and takes back a tensor or a tuple of tensors. A
module that takes keywords, returns a dict, a dataclass or a ModelOutput, or computes in
bfloat16 (which the backend has no type for) is wrapped; whatever was done is said in the
side-car. Only for tracing: a script compiles the module as it stands.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_triton.export.interface import ExportRefused

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclasses.dataclass(frozen=True, slots=True)
class Adapted:
    """The module that is traced, the names of its outputs if it has any, and what was done."""

    module: Any
    outputs: tuple[str, ...] | None = None
    done: tuple[str, ...] = ()


def adapt(
    module: Any,
    order: Sequence[str],
    run: Callable[..., Any],
    tensors: Sequence[Any],
    *,
    wanted: Sequence[str] = (),
    batched: bool = True,
) -> Adapted:
    """Wrap ``module`` where that is needed, else give it back as it is.

    ``order`` and ``tensors`` are an example request in the order of forward's arguments,
    ``run(function)`` calls a function in evaluation mode and without gradients. ``wanted``
    are names of outputs that the caller declared: they choose among those of a dict.
    Raises ExportRefused when the result cannot be made of tensors.
    """
    import torch

    done: list[str] = []
    keywords = _needs_keywords(module, order)
    if keywords:
        done.append(f"arguments by name: {', '.join(order)}")
    weights = {p.dtype for p in module.parameters() if p.dtype.is_floating_point}
    narrow = weights == {torch.bfloat16} and any(t.dtype == torch.float32 for t in tensors)
    if narrow:
        done.append("FP32 inputs as bfloat16")

    def call(*given: Any) -> Any:
        passed = [t.to(torch.bfloat16) if narrow and t.dtype == torch.float32 else t for t in given]
        if keywords:
            return module(**dict(zip(order, passed, strict=True)))
        return module(*passed)

    result = run(lambda: call(*tensors))
    keys = _keys(result, wanted)
    if keys is not None:
        done.append(f"outputs by key: {', '.join(keys)}")
    values = _picked(result, keys)
    if any(isinstance(v, torch.Tensor) and v.dtype == torch.bfloat16 for v in values):
        done.append("bfloat16 outputs as FP32")
    if batched and any(isinstance(v, torch.Tensor) and v.dim() == 1 for v in values):
        done.append("outputs of one value per row as [1]")
    if not done:
        return Adapted(module)

    def forward(self: Any, *given: Any) -> Any:
        made = []
        for value in _picked(call(*given), keys):
            if isinstance(value, torch.Tensor):
                value = value.float() if value.dtype == torch.bfloat16 else value
                value = value.unsqueeze(-1) if batched and value.dim() == 1 else value
            made.append(value)
        return made[0] if len(made) == 1 else tuple(made)

    # The trace takes the names of its arguments from the signature of forward.
    names = order if keywords else _argument_names(module, len(tensors)) or order
    parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names
    ]
    forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper = type("Adapter", (torch.nn.Module,), {"forward": forward, "__module__": __name__})()
    wrapper.module = module
    wrapper.train(module.training)
    return Adapted(wrapper, _names(keys), tuple(done))


def _needs_keywords(module: Any, order: Sequence[str]) -> bool:
    """Whether the inputs are arguments of forward that position alone would not reach."""
    try:
        parameters = inspect.signature(module.forward).parameters
    except (TypeError, ValueError):
        return False
    if not all(name in parameters for name in order):
        return False
    leading = [n for n, p in parameters.items() if p.kind in _BY_POSITION][: len(order)]
    return leading != list(order)


def _argument_names(module: Any, count: int) -> list[str]:
    """The first arguments of forward; none when it takes whatever comes."""
    try:
        parameters = inspect.signature(module.forward).parameters
    except (TypeError, ValueError):
        return []
    names = [name for name, p in parameters.items() if p.kind in _BY_POSITION][:count]
    return names if len(names) == count else []


def _entries(result: Any) -> dict[str, Any] | None:
    """A dict, ModelOutput, named tuple or dataclass by key; None for anything else."""
    if isinstance(result, Mapping):
        return {str(key): value for key, value in result.items()}
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return {f.name: getattr(result, f.name) for f in dataclasses.fields(result)}
    return None


def _keys(result: Any, wanted: Sequence[str]) -> list[str] | None:
    """Which entries of a result by key become outputs; None when it has no keys."""
    import torch

    entries = _entries(result)
    if entries is None:
        return None
    present = {key: value for key, value in entries.items() if value is not None}
    if wanted:
        chosen = [name.partition("__")[0] for name in wanted]
        missing = [name for name in chosen if name not in present]
        if missing:
            raise ExportRefused(
                f"forward returns {type(result).__name__} with {', '.join(present)}, and no "
                f"{', '.join(missing)}",
                "declare outputs with these names (an index behind '__' is allowed)",
            )
    else:
        chosen = list(present)
    unfit = [name for name in chosen if not isinstance(present[name], torch.Tensor)]
    if unfit or not chosen:
        raise ExportRefused(
            f"forward returns {type(result).__name__}, in which "
            f"{', '.join(f'{name} is {type(present[name]).__name__}' for name in unfit)}"
            + ("" if unfit else "there is no tensor"),
            "choose tensors:  outputs=[TensorSpec('logits', 'FP32', (2,))]",
        )
    return chosen


def _picked(result: Any, keys: Sequence[str] | None) -> list[Any]:
    if keys is None:
        return list(result) if isinstance(result, (tuple, list)) else [result]
    entries = _entries(result) or {}
    return [entries[key] for key in keys]


def _names(keys: Sequence[str] | None) -> tuple[str, ...] | None:
    """Output names: the key, with an index where there are several."""
    if keys is None:
        return None
    if len(keys) == 1:
        return (keys[0],)
    return tuple(f"{key}__{index}" for index, key in enumerate(keys))
