"""Three strided convolutions and a linear layer: ten classes of 64 x 64 images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pytest_triton.export.function import export_torchscript
from pytest_triton.export.reference import model_seed
from pytest_triton.export.reference.eager import evaluate_module
from pytest_triton.export.running import seeded
from pytest_triton.repository.sidecar import ExportRecord, Tensors
from pytest_triton.repository.tensors import TensorSpec

VERSIONS = (1,)
SIZE, CLASSES = 64, 10
INPUTS = (TensorSpec("pixels", "FP32", (3, SIZE, SIZE)),)
OUTPUTS = (TensorSpec("probabilities", "FP32", (CLASSES,)),)
#: Of a probability. On a GPU convolutions are computed in TF32 (10 bits) unless told otherwise.
ATOL = 1e-3


def build(version: int, seed: int) -> Any:
    """The eager module; ``pixels`` is the name of its argument."""
    import torch
    from torch import nn

    class ImageClassifier(nn.Module):
        """Probabilities, because a person reads them in the classification strings."""

        def __init__(self) -> None:
            super().__init__()
            # Odd functions without biases: different images get different classes although
            # nobody has trained this.
            self.features = nn.Sequential(
                nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False),
                nn.Tanh(),
                nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
                nn.Tanh(),
                nn.Conv2d(32, 64, 3, stride=2, padding=1, bias=False),
                nn.Tanh(),
            )
            self.head = nn.Linear(64 * (SIZE // 8) ** 2, CLASSES, bias=False)
            for layer in self.features:
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="tanh")
            nn.init.normal_(self.head.weight, std=0.03)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.head(self.features(pixels).flatten(1))
            return scores.softmax(1)

    with seeded(model_seed(seed, "image_classifier", version)):
        return ImageClassifier().eval()


def export(directory: Path, version: int, seed: int) -> ExportRecord:
    """Write model.pt and its proof."""
    rng = np.random.default_rng(model_seed(seed, "image_classifier/in", version))
    return export_torchscript(
        build(version, seed),
        {"pixels": rng.standard_normal((4, 3, SIZE, SIZE), dtype=np.float32)},
        path=directory,
        inputs=INPUTS,
        outputs=OUTPUTS,
        max_batch_size=32,
        ranges={"pixels": (-2.0, 2.0)},
        seed=seed,
        atol=ATOL,
    )


def evaluate(version: int, inputs: Tensors, seed: int) -> dict[str, np.ndarray]:
    """The eager answer."""
    return evaluate_module(build, version, seed, inputs, INPUTS, OUTPUTS)
