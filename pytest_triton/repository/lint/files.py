"""What is known of a file that a configuration names, without opening it."""

from __future__ import annotations

import stat
from collections.abc import Iterable

from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.tensors import bytes_of

#: No file is larger; a product of hundreds of thousands of sizes would take for ever.
_LARGEST = 1 << 62


def size_of(model: LintedModel, relative: str) -> int | None:
    """Bytes of a regular file of the model, links followed; None when there is none."""
    try:
        found = (model.path / relative).stat()
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def bytes_needed(dims: Iterable[int], data_type: int) -> int:
    """Bytes of a tensor of fixed sizes; 0 where the type has no fixed size."""
    size = bytes_of(data_type)
    for one in dims:
        size *= one
        if size == 0 or size > _LARGEST:
            break
    return size
