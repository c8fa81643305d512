"""The model that is served, and the same one for its reference: stored weights or seeded ones.

This file stands in the model repository too, beside ``model.py``: it imports torch and
transformers and nothing of pytest_triton.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

DTYPES = ("float32", "float16", "bfloat16")


def build(
    config: dict[str, Any], *, weights: str, seed: int, dtype: str, device: str, threads: int
) -> Any:
    """A LlamaForCausalLM on ``device`` in ``dtype``, ready to answer.

    ``weights``: a directory that save_pretrained() wrote; "" for random ones, which follow
    from ``seed``, the names of the parameters and the kind of device. ``threads`` are torch's
    in this process; 0 leaves them as they are.
    """
    import torch

    package = _transformers()
    if threads:
        torch.set_num_threads(threads)
    kind = getattr(torch, dtype)
    if weights:
        key = "dtype" if int(package.__version__.split(".")[0]) >= 5 else "torch_dtype"
        model = package.LlamaForCausalLM.from_pretrained(
            weights, local_files_only=True, attn_implementation="sdpa", **{key: kind}
        ).to(device)
    else:
        before = torch.get_default_dtype()
        torch.set_default_dtype(kind)
        try:
            with torch.device(device):
                model = package.LlamaForCausalLM(
                    package.LlamaConfig(**config, attn_implementation="sdpa")
                )
        finally:
            torch.set_default_dtype(before)
        _fill(model, seed, float(config.get("initializer_range", 0.02)))
    return model.eval().requires_grad_(False)


def _transformers() -> Any:
    """The package, once its Llama can be imported: it hides the reason where it cannot."""
    import transformers

    package: Any = transformers
    try:
        package.LlamaForCausalLM  # noqa: B018
    except Exception as error:
        cause: BaseException = error
        while (inner := cause.__cause__ or cause.__context__) is not None:
            cause = inner
        raise ImportError(
            f"transformers cannot load its Llama here: {type(cause).__name__}: {cause}"
        ) from error
    return package


def _fill(model: Any, seed: int, spread: float) -> None:
    """Every matrix from a generator of its own: no order of creation matters."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() < 2:
                parameter.fill_(1.0)  # the scales of the norms
                continue
            random = torch.Generator(parameter.device)
            random.manual_seed(zlib.crc32(f"{seed} {name}".encode()))
            parameter.normal_(0.0, spread, generator=random)


def tokenizer(directory: str) -> Any:
    """The tokenizer beside the weights, or None where there is none."""
    if not directory or not any(
        (Path(directory) / name).is_file() for name in ("tokenizer.json", "tokenizer.model")
    ):
        return None
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(directory, local_files_only=True)
