"""Values at the limits of every data type."""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_triton.probe.codec import bytes_array, numpy_dtype

_TEXTS = (b"", b"plain", "ünïcödé".encode(), "三台".encode(), "🦅".encode(), b" ", b'"quoted\\"')


def extremes() -> dict[str, np.ndarray[Any, Any]]:
    """Datatype -> a tensor [n] with the least, the greatest and odd values of its type."""
    made: dict[str, np.ndarray[Any, Any]] = {"BOOL": np.array([True, False, True])}
    for bits in (8, 16, 32, 64):
        for kind in ("UINT", "INT"):
            dtype = numpy_dtype(f"{kind}{bits}")
            limits = np.iinfo(dtype)
            made[f"{kind}{bits}"] = np.array([limits.min, 0, 1, limits.max - 1, limits.max], dtype)
    for name in ("FP16", "FP32", "FP64"):
        dtype = numpy_dtype(name)
        limit = np.finfo(dtype)
        made[name] = np.array(
            [limit.min, -1, -0.0, 0, limit.tiny, limit.eps, 1 / 3, limit.max], dtype
        )
    made["BYTES"] = bytes_array(list(_TEXTS), (len(_TEXTS),))
    return made
