"""Answers against what was expected: count, names, type, shape, values, in this order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

#: (rtol, atol) by data type where a reference says nothing else: torch.testing.assert_close's
#: defaults, widened for the depth of a model and for another order of summation in batches.
TOLERANCES: Mapping[str, tuple[float, float]] = {
    "FP16": (1e-2, 1e-3),
    "BF16": (5e-2, 1e-2),
    "FP32": (1e-4, 1e-5),
    "FP64": (1e-6, 1e-8),
}
EXACT = (0.0, 0.0)


def tolerance(datatype: str) -> tuple[float, float]:
    """(rtol, atol) of a Triton data type; integers, BOOL and BYTES are exact."""
    return TOLERANCES.get(datatype, EXACT)


def largest_difference(got: Array, wanted: Array) -> float:
    """Largest absolute difference; 0 for equal NaNs and infinities, inf for anything else."""
    if got.shape != wanted.shape:
        return float("inf")
    if got.dtype.kind in "OSU" or wanted.dtype.kind in "OSU":
        return 0.0 if got.tolist() == wanted.tolist() else float("inf")
    left, right = got.astype(np.float64), wanted.astype(np.float64)
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    if same.all():
        return 0.0
    with np.errstate(invalid="ignore"):
        differences = np.abs(left - right)[~same]
    return float(np.max(np.where(np.isnan(differences), np.inf, differences)))


def difference(name: str, got: Array, wanted: Array, rtol: float, atol: float) -> str | None:
    """What is wrong with one output (None: nothing): shape first, then values."""
    if got.shape != wanted.shape:
        return f"output {name!r} has shape {list(got.shape)}, expected {list(wanted.shape)}"
    if got.dtype.kind != wanted.dtype.kind:
        return f"output {name!r} has type {got.dtype}, expected {wanted.dtype}"
    if got.dtype.kind in "OSU":
        if got.tolist() == wanted.tolist():
            return None
        place = next(
            index
            for index, (one, two) in enumerate(
                zip(got.reshape(-1), wanted.reshape(-1), strict=True)
            )
            if one != two
        )
        return (
            f"output {name!r} differs at element {place}: "
            f"{got.reshape(-1)[place]!r:.80}, expected {wanted.reshape(-1)[place]!r:.80}"
        )
    left, right = got.astype(np.float64), wanted.astype(np.float64)
    with np.errstate(invalid="ignore"):
        near = np.isclose(left, right, rtol=rtol, atol=atol, equal_nan=True)
    if near.all():
        return None
    at = tuple(int(number) for number in np.argwhere(~near)[0])
    return (
        f"output {name!r}: {int((~near).sum())} of {near.size} elements differ; "
        f"first at {list(at)}: {left[at]:.9g}, expected {right[at]:.9g}; "
        f"largest difference {largest_difference(got, wanted):.3g} "
        f"(allowed {atol:g} + {rtol:g}·|expected|)"
    )


def mismatch(
    got: Mapping[str, Array],
    wanted: Mapping[str, Array],
    *,
    datatypes: Mapping[str, str] | None = None,
    rtol: float | None = None,
    atol: float | None = None,
) -> str | None:
    """The first thing that is wrong with a set of outputs; None when all is right.

    ``datatypes`` are Triton's (for the tolerances); without ``rtol`` and ``atol``, and for
    every type that is not floating-point, the table above decides.
    """
    if set(got) != set(wanted):
        return f"outputs {sorted(got)}, expected {sorted(wanted)}"
    for name, expected in wanted.items():
        datatype = (datatypes or {}).get(name, _datatype(expected))
        allowed = tolerance(datatype)
        if allowed != EXACT and rtol is not None and atol is not None:
            allowed = (rtol, atol)
        if text := difference(name, got[name], np.asarray(expected), *allowed):
            return text
    return None


def _datatype(array: Array) -> str:
    kind = np.asarray(array).dtype
    return {"f2": "FP16", "f4": "FP32", "f8": "FP64"}.get(f"{kind.kind}{kind.itemsize}", "")
