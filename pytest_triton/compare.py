"""Answers against what was expected: count, names, type, shape, values, in this order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pytest_triton.probe.tolerances import allowed, widened

Array = np.ndarray[Any, Any]


def largest_difference(got: Array, wanted: Array) -> float:
    """Largest absolute difference; 0 for equal NaNs and infinities, inf for anything else."""
    if got.shape != wanted.shape:
        return float("inf")
    if got.dtype.kind in "OSU" or wanted.dtype.kind in "OSU":
        return 0.0 if got.tolist() == wanted.tolist() else float("inf")
    if got.dtype.kind in "iub" and wanted.dtype.kind in "iub":
        apart = [
            abs(int(one) - int(two))
            for one, two in zip(got[got != wanted], wanted[got != wanted], strict=True)
        ]
        return float(max(apart, default=0))
    left, right = got.astype(np.float64), wanted.astype(np.float64)
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    if same.all():
        return 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        differences = np.abs(left - right)[~same]
    return float(np.max(np.where(np.isnan(differences), np.inf, differences)))


def difference(name: str, got: Array, wanted: Array, rtol: float, atol: float) -> str | None:
    """What is wrong with one output (None: nothing): type first, then shape, then values."""
    if got.dtype.kind != wanted.dtype.kind:
        return f"output {name!r} has type {got.dtype}, expected {wanted.dtype}"
    if got.shape != wanted.shape:
        return f"output {name!r} has shape {list(got.shape)}, expected {list(wanted.shape)}"
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
    if got.dtype.kind in "iub":  # a float has not the digits of a large integer
        near = got == wanted
    else:
        left, right = got.astype(np.float64), wanted.astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            near = np.isclose(left, right, rtol=rtol, atol=atol, equal_nan=True)
    if near.all():
        return None
    at = tuple(int(number) for number in np.argwhere(~near)[0])
    shown = "d" if got.dtype.kind in "iub" else ".9g"
    return (
        f"output {name!r}: {int((~near).sum())} of {near.size} elements differ; "
        f"first at {list(at)}: {got[at]:{shown}}, expected {wanted[at]:{shown}}; "
        f"largest difference {largest_difference(got, wanted):.3g}{_relative(got, wanted)} "
        f"(allowed {atol:g} + {rtol:g}·|expected|)"
    )


def _relative(got: Array, wanted: Array) -> str:
    """ ", 1.0 % of what is expected" for the element that is furthest off; "" if that is 0."""
    left, right = got.astype(np.float64), wanted.astype(np.float64)
    with np.errstate(all="ignore"):
        ratio = np.abs(left - right) / np.abs(right)
    finite = ratio[np.isfinite(ratio)]
    return f", {100 * finite.max():.3g} % of what is expected" if finite.size else ""


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
        one, two = widened(got[name], datatype), widened(np.asarray(expected), datatype)
        if text := difference(name, one, two, *allowed(datatype, rtol, atol)):
            return text
    return None


def _datatype(array: Array) -> str:
    kind = np.asarray(array).dtype
    return {"f2": "FP16", "f4": "FP32", "f8": "FP64"}.get(f"{kind.kind}{kind.itemsize}", "")
