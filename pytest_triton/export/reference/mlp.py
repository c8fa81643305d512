"""Four hidden layers of 2048: 12.9 million parameters, 51 MB; batching pays on two cores."""

from __future__ import annotations

from itertools import pairwise
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
FEATURES, WIDTH, LAYERS, CLASSES = 128, 2048, 4, 16
INPUTS = (TensorSpec("INPUT__0", "FP32", (FEATURES,)),)
OUTPUTS = (TensorSpec("OUTPUT__0", "FP32", (CLASSES,)),)


def build(version: int, seed: int) -> Any:
    """The eager module: linear layers with ReLU between them."""
    from torch import nn

    with seeded(model_seed(seed, "mlp", version)):
        sizes = [FEATURES, *[WIDTH] * LAYERS]
        layers: list[nn.Module] = []
        for before, behind in pairwise(sizes):
            layers += [nn.Linear(before, behind), nn.ReLU()]
        layers.append(nn.Linear(WIDTH, CLASSES))
        for layer in layers:
            if isinstance(layer, nn.Linear):
                # torch's default shrinks the signal in every layer; outputs near 0 prove little.
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        return nn.Sequential(*layers).eval()


def export(directory: Path, version: int, seed: int) -> ExportRecord:
    """Write model.pt and its proof."""
    example = np.random.default_rng(model_seed(seed, "mlp/in", version))
    return export_torchscript(
        build(version, seed),
        {"INPUT__0": example.standard_normal((4, FEATURES), dtype=np.float32)},
        path=directory,
        inputs=INPUTS,
        outputs=OUTPUTS,
        max_batch_size=32,
        ranges={"INPUT__0": (-2.0, 2.0)},
        seed=seed,
    )


def evaluate(version: int, inputs: Tensors, seed: int) -> dict[str, np.ndarray]:
    """The eager answer."""
    return evaluate_module(build, version, seed, inputs, INPUTS, OUTPUTS)
