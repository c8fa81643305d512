"""What a HuggingFace model is exported for, and which models can be."""

from __future__ import annotations

import re
from typing import Any, Literal

from pytest_triton.errors import ToolError
from pytest_triton.export.interface import ExportRefused

Task = Literal["classification", "embedding", "causal-lm"]

TASKS: tuple[Task, ...] = ("classification", "embedding", "causal-lm")
#: Task -> the auto class that loads it.
AUTO_CLASS = {
    "classification": "AutoModelForSequenceClassification",
    "embedding": "AutoModel",
    "causal-lm": "AutoModelForCausalLM",
}
_WORDS = ", ".join(TASKS)


def transformers() -> Any:
    """The package. Raises ToolError when it or torch is not installed."""
    try:
        import torch  # noqa: F401
        import transformers
    except ImportError as error:
        raise ToolError(
            f"HuggingFace models need torch and transformers: {error}",
            "pip install 'pytest-triton[lab]'",
        ) from None
    return transformers


def architecture_of(model: Any) -> str:
    """The class of transformers that a model is, also below a class of its user's."""
    for kind in type(model).__mro__:
        if kind.__module__.startswith("transformers.models."):
            return kind.__name__
    return type(model).__name__


def task_of(architecture: str) -> Task:
    """The task that a class name stands for. Raises ExportRefused when there is none."""
    if architecture.endswith("ForSequenceClassification"):
        return "classification"
    if re.search(r"ForCausalLM$|LMHeadModel$", architecture):
        return "causal-lm"
    if re.search(r"[a-z0-9](Encoder)?Model$", architecture, re.IGNORECASE):
        return "embedding"
    if architecture.endswith("ForMaskedLM"):
        raise ExportRefused(
            f"{architecture} predicts masked tokens, which is no task of this exporter",
            'task="embedding" exports the encoder below it',
        )
    what = f"{architecture} is" if architecture else "the model says"
    raise ExportRefused(
        f"{what} none of the tasks {_WORDS}",
        "say the task, or wrap the model in a torch.nn.Module that returns the tensors that are "
        "wanted and use export_torchscript",
    )


def check_task(task: str, architecture: str) -> Task:
    """A task that was asked for, as one that this class of model has ("": not known yet)."""
    for known in TASKS:
        if task == known:
            break
    else:
        raise ExportRefused(f"no task {task!r}", f"one of {_WORDS}")
    if not architecture:
        return known
    heads = {"classification": "ForSequenceClassification", "causal-lm": "ForCausalLM"}
    head = heads.get(task)
    if head and not architecture.endswith(head) and task_or_none(architecture) != task:
        raise ExportRefused(
            f"{architecture} has no head for {task}", f"load it as AutoModel{head}, or choose "
            f"another task of {_WORDS}",
        )  # fmt: skip
    return known


def task_or_none(architecture: str) -> str:
    """As :func:`task_of`; empty when there is none."""
    try:
        return task_of(architecture)
    except ExportRefused:
        return ""


def refuse_encoder_decoder(config: Any, architecture: str) -> None:
    """Models of two halves: one request would have to carry the decoder's tokens too."""
    if not getattr(config, "is_encoder_decoder", False):
        return
    raise ExportRefused(
        f"{architecture} is an encoder-decoder ({config.model_type}): its logits need the "
        "decoder's own tokens, and text comes out of a loop over them with a cache, which one "
        "TorchScript forward is not",
        'task="embedding" of its encoder (a …EncoderModel) can be exported; for text use '
        "Triton's Python or vLLM backend",
    )
