"""Side-cars of models that are code or configuration: Python models and ensembles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_triton.export.interface import Case, Signature
from pytest_triton.export.running import Evaluate
from pytest_triton.repository.sidecar import ExportRecord, GoldenCase, write_sidecar


def write_golden(
    directory: Path,
    kind: str,
    signature: Signature,
    cases: Sequence[Case],
    evaluate: Evaluate,
    *,
    seed: int,
    decoupled: bool = False,
    atol: float = 1e-5,
) -> ExportRecord:
    """Golden answers of a model that has no file to prove; ``kind``: "python" or "ensemble"."""
    record = ExportRecord(
        format=kind,
        inputs=signature.inputs,
        outputs=signature.outputs,
        max_batch_size=signature.max_batch_size,
        seed=seed,
        atol=atol,
        axes=dict(signature.axes),
        ranges=dict(signature.ranges),
        decoupled=decoupled,
    )
    golden = [GoldenCase(case.name, case.inputs, evaluate(case.inputs)) for case in cases]
    return write_sidecar(directory, record, golden)
