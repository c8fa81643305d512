"""The module that is traced: token ids and masks in, one tensor out.

Triton's PyTorch backend passes tensors by position and has no bfloat16, so the wrapper calls
the model by keyword, takes the one tensor that is wanted, and gives it as FP32.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Literal

from pytest_triton.export.huggingface.tasks import Task

Pooling = Literal["mean", "cls"]
Positions = Literal["all", "last"]


def wrap(
    model: Any,
    task: Task,
    inputs: Sequence[str],
    *,
    pooling: Pooling = "mean",
    normalize: bool = False,
    positions: Positions = "all",
) -> Any:
    """The model with the signature ``forward(*inputs)`` and one output of FP32."""
    import torch

    accepted = inspect.signature(model.forward).parameters
    fixed = {key: value for key, value in (("use_cache", False), ("return_dict", True))
             if key in accepted or key == "return_dict"}  # fmt: skip
    # Positions counted from the first real token: left and right padding then agree.
    counted = task == "causal-lm" and "position_ids" in accepted

    def forward(self: Any, *given: Any) -> Any:
        named = dict(zip(inputs, given, strict=True))
        mask = named["attention_mask"]
        if counted:
            named["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
        result = self.model(**named, **fixed)
        if task == "classification":
            return result.logits.float()
        if task == "embedding":
            return _pooled(result.last_hidden_state, mask, pooling, normalize)
        if positions == "last":
            # The last token that counts, wherever the padding is.
            at = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).argmax(-1)
            index = at.view(-1, 1, 1).expand(-1, 1, result.logits.shape[-1])
            return result.logits.gather(1, index).squeeze(1).float()
        return result.logits.float()

    arguments = ["self", *inputs]
    forward.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in arguments]
    )
    name = {"classification": "Classifier", "embedding": "Embedder", "causal-lm": "LanguageModel"}
    kind = type(name[task], (torch.nn.Module,), {"forward": forward, "__module__": __name__})
    wrapper = kind()
    wrapper.model = model
    return wrapper.eval()


def _pooled(hidden: Any, mask: Any, pooling: Pooling, normalize: bool) -> Any:
    """One vector for each row, in FP32: a sum of many half precision numbers loses digits."""
    import torch

    hidden = hidden.float()
    if pooling == "cls":
        vector = hidden[:, 0]
    else:
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        vector = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
    return torch.nn.functional.normalize(vector, dim=-1) if normalize else vector
