"""How near is near enough, by data type."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pytest_triton.probe.types import Array

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


def allowed(datatype: str, rtol: float | None, atol: float | None) -> tuple[float, float]:
    """(rtol, atol) for a data type where a case asks for its own; (0, 0) asks for equality.

    What is asked of FP32 is more than half precision can hold.
    """
    table = tolerance(datatype)
    if table == EXACT or rtol is None or atol is None:
        return table
    least = table if datatype in ("FP16", "BF16") and (rtol or atol) else EXACT
    return max(rtol, least[0]), max(atol, least[1])


def widened(array: Array, datatype: str) -> Array:
    """BF16, which travels as its bits, as float32, whose upper half they are."""
    if datatype != "BF16" or array.dtype != np.uint16:
        return array
    wide: Array = (array.astype(np.uint32) << 16).view(np.float32)
    return wide
