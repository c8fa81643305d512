"""A small BERT for three classes, from a configuration and a seed: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pytest_triton.export.function import export_torchscript
from pytest_triton.export.interface import Case
from pytest_triton.export.reference import model_seed
from pytest_triton.export.reference.eager import evaluate_module
from pytest_triton.export.running import seeded
from pytest_triton.repository.sidecar import ExportRecord, Tensors
from pytest_triton.repository.tensors import TensorSpec

VERSIONS = (1,)
VOCABULARY, POSITIONS, CLASSES, MAX_BATCH = 4096, 128, 3, 16
INPUTS = (
    TensorSpec("input_ids", "INT64", ("length",)),
    TensorSpec("attention_mask", "INT64", ("length",)),
)
OUTPUTS = (TensorSpec("logits", "FP32", (CLASSES,)),)
#: Rows and tokens of the golden cases; the trace is recorded on 2 x 9.
_SIZES = ((1, 1), (1, 16), (3, 37), (5, 64), (MAX_BATCH, 16), (2, POSITIONS))


def build(version: int, seed: int) -> Any:
    """The eager module; its arguments give the inputs their names."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=512,
        max_position_embeddings=POSITIONS,
        id2label={index: f"class {index}" for index in range(CLASSES)},
    )

    class TextClassifier(torch.nn.Module):
        """Tensors in, one tensor out: what TorchScript and Triton understand."""

        def __init__(self) -> None:
            super().__init__()
            self.model = BertForSequenceClassification(config)
            # HuggingFace starts with very small weights: logits of 0.01 would prove little.
            torch.nn.init.normal_(self.model.classifier.weight, std=1.0)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            result = self.model(input_ids=input_ids, attention_mask=attention_mask)
            logits: torch.Tensor = result.logits
            return logits

    with seeded(model_seed(seed, "text_classifier", version)):
        return TextClassifier().eval()


def request(rows: int, tokens: int, seed: int) -> dict[str, np.ndarray]:
    """Random token ids, every second row padded to half of its length."""
    rng = np.random.default_rng([model_seed(seed, "text_classifier/in", 1), rows, tokens])
    mask = np.ones((rows, tokens), np.int64)
    mask[1::2, (tokens + 1) // 2 :] = 0
    ids = rng.integers(1, VOCABULARY, (rows, tokens), dtype=np.int64) * mask
    return {"input_ids": ids, "attention_mask": mask}


def export(directory: Path, version: int, seed: int) -> ExportRecord:
    """Trace on a padded batch and prove on other batch sizes and lengths."""
    return export_torchscript(
        build(version, seed),
        request(2, 9, seed),
        path=directory,
        inputs=INPUTS,
        outputs=OUTPUTS,
        max_batch_size=MAX_BATCH,
        axes={"length": (1, POSITIONS)},
        ranges={"input_ids": (0, VOCABULARY), "attention_mask": (1, 2)},
        cases=[
            Case(f"batch{rows}_length{tokens}", request(rows, tokens, seed))
            for rows, tokens in _SIZES
        ],
        seed=seed,
    )


def evaluate(version: int, inputs: Tensors, seed: int) -> dict[str, np.ndarray]:
    """The eager answer."""
    return evaluate_module(build, version, seed, inputs, INPUTS, OUTPUTS)
