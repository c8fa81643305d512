"""What the pre-processing step has to answer, written a second time and plainly.

Pixel by pixel, so that a mistake in the vectorised model.py is not repeated here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pytest_triton.export.interface import Case, Signature
from pytest_triton.export.reference import model_seed
from pytest_triton.export.reference.plain import write_golden
from pytest_triton.repository.sidecar import ExportRecord, Tensors
from pytest_triton.repository.tensors import TensorSpec

VERSIONS = (1,)
SIZE, MAX_BATCH = 64, 8
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
SIGNATURE = Signature(
    inputs=(TensorSpec("image", "UINT8", ("height", "width", 3)),),
    outputs=(TensorSpec("pixels", "FP32", (3, SIZE, SIZE)),),
    max_batch_size=MAX_BATCH,
    axes={"height": (1, 512), "width": (1, 512)},
    ranges={"image": (0, 256)},
)
#: Rows, height and width of the golden cases.
_SIZES = ((1, 64, 64), (2, 96, 128), (1, 1, 7), (MAX_BATCH, 40, 33))


def cases(seed: int) -> list[Case]:
    """Random images of sizes above and below the target."""
    made = []
    for rows, height, width in _SIZES:
        rng = np.random.default_rng([model_seed(seed, "preprocess/in", 1), rows, height, width])
        image = rng.integers(0, 256, (rows, height, width, 3), dtype=np.uint8)
        made.append(Case(f"batch{rows}_height{height}_width{width}", {"image": image}))
    return made


def export(directory: Path, version: int, seed: int) -> ExportRecord:
    """Write the golden answers; model.py itself is part of the repository's source."""
    return write_golden(
        directory,
        "python",
        SIGNATURE,
        cases(seed),
        lambda inputs: evaluate(version, inputs, seed),
        seed=seed,
    )


def evaluate(version: int, inputs: Tensors, seed: int) -> dict[str, np.ndarray]:
    """Nearest pixel at floor(i * size / 64), scaled to 0..1, less the mean, by the deviation."""
    images = inputs["image"]
    rows, height, width, _ = images.shape
    pixels = np.empty((rows, 3, SIZE, SIZE), np.float32)
    for channel, (mean, deviation) in enumerate(zip(MEAN, DEVIATION, strict=True)):
        for y in range(SIZE):
            for x in range(SIZE):
                value = images[:, y * height // SIZE, x * width // SIZE, channel]
                pixels[:, channel, y, x] = (value / 255 - mean) / deviation
    return {"pixels": pixels}
