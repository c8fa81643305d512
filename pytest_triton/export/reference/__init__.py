"""The seeded modules behind ``model_repository/``; one module per model, all alike.

Each has ``VERSIONS`` and ``export(directory, version, seed)``, which fills one version
directory, and ``evaluate(version, inputs, seed)``, the eager answer. torch is imported only
inside functions.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from pytest_triton.errors import ToolError
from pytest_triton.repository.sidecar import ExportRecord, Tensors

#: In the order of export: what an ensemble is made of comes first.
MODELS: tuple[str, ...] = (
    "mlp",
    "text_classifier",
    "image_classifier",
    "versioned",
    "preprocess",
    "pipeline",
    "generator",
)


class ReferenceModel(Protocol):
    """What a module of this package offers."""

    VERSIONS: Sequence[int]

    def export(self, directory: Path, version: int, seed: int) -> ExportRecord:
        """Fill the version directory (model file, side-car, golden file)."""

    def evaluate(self, version: int, inputs: Tensors, seed: int) -> dict[str, np.ndarray]:
        """The answer of the seeded eager module."""


def reference_model(name: str) -> ReferenceModel:
    """The module of one model. Raises ToolError for a name that is none."""
    if name not in MODELS:
        raise ToolError(f"no reference model {name!r}", f"one of {', '.join(MODELS)}")
    return cast(ReferenceModel, importlib.import_module(f"{__name__}.{name}"))


def model_seed(seed: int, model: str, version: int) -> int:
    """A seed of its own for every version, so that adding a model changes no other."""
    return zlib.crc32(f"{seed}/{model}/{version}".encode())
