"""What an exporter left beside the model file, as evidence for checks."""

from __future__ import annotations

import json
from typing import Any

from pytest_triton.repository.lint.context import LintedModel

#: Written by the exporters; read here as plain JSON, of which anybody may have written anything.
_NAME = "export.json"
_MAX_BYTES = 4 << 20


def recorded_shapes(model: LintedModel) -> dict[str, tuple[int, ...]]:
    """Shapes of tensors by name, with the batch in front; none unless a batching export left them."""
    if "recorded" not in model.memory:
        model.memory["recorded"] = _read(model)
    found: dict[str, tuple[int, ...]] = model.memory["recorded"]
    return found


def _read(model: LintedModel) -> dict[str, tuple[int, ...]]:
    if model.directory is None:
        return {}
    for version in reversed(model.directory.versions):
        path = model.directory.version_path(version) / _NAME
        try:
            if not path.is_file() or path.stat().st_size > _MAX_BYTES:
                continue
            data = json.loads(path.read_bytes())
            if data["max_batch_size"] > 0:
                return dict(_tensor(entry) for entry in [*data["inputs"], *data["outputs"]])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
    return {}


def _tensor(entry: Any) -> tuple[str, tuple[int, ...]]:
    return str(entry["name"]), tuple(int(size) for size in entry["shape"])
