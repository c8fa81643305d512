"""What the ensemble has to answer: its two steps, one behind the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from pytest_triton.export.reference import image_classifier, preprocess
from pytest_triton.export.reference.plain import write_golden
from pytest_triton.repository.sidecar import ExportRecord, Tensors

VERSIONS = (1,)
SIGNATURE = replace(preprocess.SIGNATURE, outputs=image_classifier.OUTPUTS)


def export(directory: Path, version: int, seed: int) -> ExportRecord:
    """Write the golden answers; an ensemble has an otherwise empty version directory."""
    return write_golden(
        directory,
        "ensemble",
        SIGNATURE,
        preprocess.cases(seed),
        lambda inputs: evaluate(version, inputs, seed),
        seed=seed,
        atol=image_classifier.ATOL,
    )


def evaluate(version: int, inputs: Tensors, seed: int) -> dict[str, np.ndarray]:
    """The classifier's answer to the prepared image."""
    return image_classifier.evaluate(1, preprocess.evaluate(1, inputs, seed), seed)
