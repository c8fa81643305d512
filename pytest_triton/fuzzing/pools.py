"""Values that requests are broken with, and requests that are right before that."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pytest_triton.probe.types import Array
from pytest_triton.probe_set import ADDSUB, ECHO, TYPES

MODELS = (ADDSUB, ECHO, TYPES)
#: A server allocates, and writes, what a shape says before it looks at the data: 2**28 elements
#: of INT32 are 1 GiB and more than a second. And a product near 2**62 ends Triton 2.51 (CRS-01).
MAX_ELEMENTS = 1 << 20

#: model -> its inputs in a good request, and its outputs.
GOOD: dict[str, tuple[dict[str, Array], dict[str, Array]]] = {
    ADDSUB: (
        {
            "INPUT0": np.arange(16, dtype=np.int32).reshape(1, 16),
            "INPUT1": np.full((1, 16), 5, dtype=np.int32),
        },
        {
            "OUTPUT0": np.arange(5, 21, dtype=np.int32).reshape(1, 16),
            "OUTPUT1": np.arange(-5, 11, dtype=np.int32).reshape(1, 16),
        },
    ),
    ECHO: (
        {"text_input": np.array([b"hi"], dtype=object)},
        {
            "text_output": np.array([b"hi"], dtype=object),
            "PARAMETERS": np.array([b"{}"], dtype=object),
        },
    ),
    TYPES: (
        {
            "IN_BOOL": np.array([True, False]),
            "IN_INT64": np.array([1, -2, 3], dtype=np.int64),
            "IN_FP32": np.array([0.5], dtype=np.float32),
            "IN_BYTES": np.array([b"a", b"bc"], dtype=object),
        },
        {
            "OUT_BOOL": np.array([True, False]),
            "OUT_INT64": np.array([1, -2, 3], dtype=np.int64),
            "OUT_FP32": np.array([0.5], dtype=np.float32),
            "OUT_BYTES": np.array([b"a", b"bc"], dtype=object),
        },
    ),
}

NAMES = (
    "", "INPUT0", "INPUT1", "text_input", "IN_FP16", "IN_BYTES", "IN_INT8", "no_such", "a" * 300,
    "\u00fc\u4e2d", "../x", "a\x00b", "OUTPUT0", "raw_input",
)  # fmt: skip
VERSIONS = ("", "", "", "1", "1", "2", "99", "18446744073709551616", "x", "-1", " 1")
DATATYPES = (
    "BOOL", "UINT8", "INT8", "INT32", "INT64", "UINT64", "FP16", "BF16", "FP32", "FP64", "BYTES",
    "", "int32", "STRING", "TYPE_INT32", "\u00fc",
)  # fmt: skip
DIMENSIONS = (-2, -1, 0, 1, 1, 2, 3, 4, 8, 9, 15, 16, 17, 1000, 65536)
NUMBERS = (
    0, 1, -1, 255, 256, 2**31 - 1, -(2**31), 2**31, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**64,
    10**30,
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, False, *NUMBERS, 1.5, 1e39, 1e-320, math.nan, math.inf, "", "x", "7",
    "\u00fc", "a\x00b", "a" * 300, [], [[]], {}, {"a": 1}, [1], [None], [[1, 2], [3]],
)  # fmt: skip
PARAMETERS = (
    "own", "binary_data_size", "binary_data", "binary_data_output", "shared_memory_region",
    "shared_memory_byte_size", "shared_memory_offset", "sequence_id", "sequence_start",
    "sequence_end", "priority", "timeout", "triton_reserved",
    "triton_enable_empty_final_response", "", "\u00fc",
)  # fmt: skip
#: A length prefix beyond the data of a BYTES tensor ends the stub of a Python model on Triton
#: 2.48, and whoever asks that model waits for ever. 2.39 raises, 2.51 refuses: the releases
#: between are spared, the first and the last of them are a guess.
NO_OVERRUNS = ("23.11", "24.08")
#: Not where a model has outputs of TYPE_STRING: a classification of one ends Triton 2.51.
CLASSIFICATION = "classification"


def spared(release: str | None) -> bool:
    """Whether a release must not get BYTES whose prefixes overrun their data."""
    return release is not None and NO_OVERRUNS[0] <= release <= NO_OVERRUNS[1]


def too_large(shape: Any) -> bool:
    """Whether a shape's elements are more than this machine should be asked for."""
    if not isinstance(shape, list):
        return False
    sizes = [abs(dim) for dim in shape if isinstance(dim, (int, float)) and dim == dim and dim]
    return math.prod(sizes) > MAX_ELEMENTS
