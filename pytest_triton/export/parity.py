"""The proof: the file answers as the eager module does, on sizes that were not traced."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from pytest_triton.export.cases import sizes_of
from pytest_triton.export.interface import Case, ExportRefused, Signature
from pytest_triton.export.running import Evaluate
from pytest_triton.repository.sidecar import GoldenCase, Parity
from pytest_triton.repository.tensors import datatype_of

#: Seconds of silence, at most, while there is something to say.
PATIENCE = 2.0


def prove(
    eager: Evaluate,
    exported: Evaluate,
    cases: Sequence[Case],
    signature: Signature,
    *,
    traced: str,
    rtol: float,
    atol: float,
    progress: Callable[[str], None] | None = None,
) -> tuple[tuple[Parity, ...], list[GoldenCase]]:
    """Compare on every case; ``traced`` names the case that the trace was recorded on.

    ``progress`` hears of the cases while it takes long.

    Raises ExportRefused at the first case that differs in an output's type, shape or
    value beyond atol + rtol * |eager|, or that the exported file cannot run.
    """
    proofs, golden = [], []
    said = time.monotonic()
    for number, case in enumerate(cases, 1):
        if progress is not None and time.monotonic() - said > PATIENCE:
            progress(f"proving {number}/{len(cases)} {case.name}")
            said = time.monotonic()
        batch, axes = sizes_of(case.inputs, signature)
        wanted = _eager_outputs(eager, case, batch, signature)
        try:
            given = exported(case.inputs)
        except Exception as error:
            raise ExportRefused(
                f"the exported file fails on {case.name}, where the module answers: "
                f"{_last_line(error)}",
                "the trace has baked in a size or a device; script the module, or take sizes "
                "from tensors (x.size(0)) and not from Python numbers",
            ) from error
        worst_abs = worst_rel = 0.0
        for name, expected in wanted.items():
            absolute, relative = compare(case.name, name, expected, given[name], rtol, atol)
            worst_abs, worst_rel = max(worst_abs, absolute), max(worst_rel, relative)
        proofs.append(Parity(case.name, batch, axes, worst_abs, worst_rel, case.name == traced))
        golden.append(GoldenCase(case.name, dict(case.inputs), wanted))
    return tuple(proofs), golden


def prove_rows(
    eager: Evaluate, golden: Sequence[GoldenCase], signature: Signature, *, rtol: float, atol: float
) -> None:
    """A row's answer must not depend on the other rows: the server puts requests together.

    Checked on the first and the last row of the largest golden batch. Raises ExportRefused.
    """
    if signature.max_batch_size < 2:
        return
    name = signature.inputs[0].name
    case = max(golden, key=lambda candidate: len(candidate.inputs[name]))
    rows = len(case.inputs[name])
    for row in {0, rows - 1} if rows > 1 else ():
        alone = eager({n: value[row : row + 1] for n, value in case.inputs.items()})
        for output, together in case.outputs.items():
            try:
                compare(case.name, output, together[row : row + 1], alone[output], rtol, atol)
            except ExportRefused as refusal:
                raise ExportRefused(
                    f"row {row} of {case.name} has another answer when it comes alone: "
                    "rows of a batch influence each other",
                    "reduce over dimensions behind the batch only, or export with max_batch_size=0",
                ) from refusal


def compare(
    case: str, name: str, expected: np.ndarray, given: np.ndarray, rtol: float, atol: float
) -> tuple[float, float]:
    """Largest absolute and relative difference. Raises ExportRefused beyond the tolerance."""
    if given.shape != expected.shape or given.dtype != expected.dtype:
        raise ExportRefused(
            f"{case}: output {name!r} of the exported file is {given.dtype}{list(given.shape)}, "
            f"the module gives {expected.dtype}{list(expected.shape)}",
            "take sizes and types from tensors and not from Python numbers, or script the module",
        )
    if expected.size == 0:
        return 0.0, 0.0
    if expected.dtype.kind not in "fiub":
        if not np.array_equal(expected, given):
            raise ExportRefused(f"{case}: output {name!r} differs", "script the module")
        return 0.0, 0.0
    wide_expected, wide_given = expected.astype(np.float64), given.astype(np.float64)
    same = (wide_expected == wide_given) | (np.isnan(wide_expected) & np.isnan(wide_given))
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, np.abs(wide_expected - wide_given))
    allowed = atol + rtol * np.abs(wide_expected)
    if not np.all(difference <= allowed):
        beyond = np.nan_to_num(difference - allowed, nan=np.inf)  # not always the largest one
        at = np.unravel_index(int(np.argmax(beyond)), expected.shape)
        raise ExportRefused(
            f"{case}: output {name!r} differs by {difference[at]:.3g} at {list(map(int, at))} "
            f"(module {expected[at]!s}, exported file {given[at]!s}); "
            f"allowed {atol:g} + {rtol:g} of the value",
            "a branch that depends on data is fixed by tracing: script the module; for a "
            "rounding difference widen rtol or atol",
        )
    relative = difference / np.maximum(np.abs(wide_expected), atol or np.finfo(np.float64).tiny)
    return float(difference.max()), float(relative.max())


def _eager_outputs(
    eager: Evaluate, case: Case, batch: int, signature: Signature
) -> dict[str, np.ndarray]:
    """The module's answer, refused when it is not what the signature promises."""
    try:
        outputs = eager(case.inputs)
    except ExportRefused:
        raise
    except Exception as error:
        raise ExportRefused(
            f"the module itself fails on {case.name}: {_last_line(error)}",
            "correct max_batch_size, the axes or the ranges so that they hold for the module",
        ) from error
    for tensor in signature.outputs:
        value = outputs[tensor.name]
        if datatype_of(value) != tensor.datatype:
            raise ExportRefused(
                f"{case.name}: output {tensor.name!r} is {datatype_of(value)}, "
                f"declared {tensor.datatype}",
                "correct the declared data type",
            )
        shape = value.shape
        if signature.max_batch_size > 0:
            if not shape or shape[0] != batch:
                raise ExportRefused(
                    f"{case.name}: output {tensor.name!r} has shape {list(shape)}: its first "
                    f"dimension is not the batch of {batch}",
                    "return one row per request row, or export with max_batch_size=0",
                )
            shape = shape[1:]
        fits = len(shape) == len(tensor.dims) and all(
            want in (-1, size) for want, size in zip(tensor.dims, shape, strict=True)
        )
        if not fits:
            raise ExportRefused(
                f"{case.name}: output {tensor.name!r} has shape {list(shape)} behind the batch, "
                f"declared {list(tensor.dims)}",
                "correct the declared shape; -1 stands for a size that varies",
            )
    return outputs


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1].strip() if lines else ''}"
