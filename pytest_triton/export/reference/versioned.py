"""One linear layer in three versions with weights of their own."""

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

VERSIONS = (1, 2, 3)
INPUTS = (TensorSpec("features", "FP32", (4,)),)
OUTPUTS = (TensorSpec("scores", "FP32", (3,)),)


def build(version: int, seed: int) -> Any:
    """The eager module; ``features`` is the name of its argument."""
    import torch

    class Scorer(torch.nn.Module):
        """features @ weight + bias."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 3)
            torch.nn.init.normal_(self.layer.weight)

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.layer(features)
            return scores

    with seeded(model_seed(seed, "versioned", version)):
        return Scorer().eval()


def export(directory: Path, version: int, seed: int) -> ExportRecord:
    """Write model.pt and its proof; every version sees the same inputs, so answers compare."""
    rng = np.random.default_rng(model_seed(seed, "versioned/in", 0))
    return export_torchscript(
        build(version, seed),
        {"features": rng.standard_normal((4, 4), dtype=np.float32)},
        path=directory,
        inputs=INPUTS,
        outputs=OUTPUTS,
        max_batch_size=8,
        ranges={"features": (-2.0, 2.0)},
        seed=seed,
    )


def evaluate(version: int, inputs: Tensors, seed: int) -> dict[str, np.ndarray]:
    """The eager answer."""
    return evaluate_module(build, version, seed, inputs, INPUTS, OUTPUTS)
