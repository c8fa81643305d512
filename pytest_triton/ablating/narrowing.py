"""A module in half precision that takes and gives FP32: every arm answers the same requests."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_triton.errors import ToolError


def narrow(module: Any, dtype: str, names: Sequence[str]) -> Any:
    """A copy with weights of ``dtype``; ``names`` are forward's inputs in their order.

    Floating inputs are converted on the way in, floating outputs to FP32 on the way out.
    Raises ToolError when the module has no float32 weights, or cannot be copied.
    """
    import torch

    if not any(one.dtype == torch.float32 for one in module.parameters()):
        raise ToolError("the module has no float32 weights to make smaller")
    try:
        inner = copy.deepcopy(module).to(getattr(torch, dtype))
    except Exception as error:
        raise ToolError(f"the module cannot be copied: {type(error).__name__}: {error}") from None
    kind = getattr(torch, dtype)

    def forward(self: Any, *given: Any) -> Any:
        passed = [one.to(kind) if one.is_floating_point() else one for one in given]
        return _wide(self.inner(**dict(zip(names, passed, strict=True)))
                     if by_name else self.inner(*passed))  # fmt: skip

    known = inspect.signature(module.forward).parameters
    by_name = all(name in known for name in names)
    arguments = ["self", *(names if by_name else [f"input_{at}" for at in range(len(names))])]
    forward.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(one, inspect.Parameter.POSITIONAL_OR_KEYWORD) for one in arguments]
    )
    made = type("Narrow", (torch.nn.Module,), {"forward": forward, "__module__": __name__})()
    made.inner = inner
    made.train(module.training)
    return made


def _wide(result: Any) -> Any:
    """The same with floating tensors as FP32."""
    import torch

    if isinstance(result, torch.Tensor):
        return result.float() if result.is_floating_point() else result
    if isinstance(result, Mapping):
        return {key: _wide(value) for key, value in result.items()}
    if isinstance(result, (tuple, list)):
        return tuple(_wide(value) for value in result)
    raise ToolError(f"the module returns {type(result).__name__}, not tensors by themselves")
