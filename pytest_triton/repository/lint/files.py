"""What is known of a file that a configuration names, without opening it."""

from __future__ import annotations

import stat

from pytest_triton.repository.lint.context import LintedModel


def size_of(model: LintedModel, relative: str) -> int | None:
    """Bytes of a regular file of the model, links followed; None when there is none."""
    try:
        found = (model.path / relative).stat()
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
