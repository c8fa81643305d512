"""Which models have a TorchScript file that tells their answers, and where it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: numpy's types by those of a configuration. Others have no way through torch's CPU tensors.
TYPES = {
    "TYPE_BOOL": "|b1", "TYPE_UINT8": "|u1", "TYPE_INT8": "|i1", "TYPE_INT16": "<i2",
    "TYPE_INT32": "<i4", "TYPE_INT64": "<i8", "TYPE_FP16": "<f2", "TYPE_FP32": "<f4",
    "TYPE_FP64": "<f8",
}  # fmt: skip


def without_reference(config: Mapping[str, Any]) -> str | None:
    """Why a configuration (Triton's JSON) has no reference of this kind; None: it has."""
    if "sequence_batching" in config:
        return "a sequence model answers by its state"
    if config.get("model_transaction_policy", {}).get("decoupled"):
        return "a decoupled model does not answer request by request"
    if config.get("batch_input") or config.get("batch_output"):
        return "batch_input and batch_output are made by the server"
    if config.get("cc_model_filenames"):
        return "cc_model_filenames lets the GPU choose the file"
    for kind in ("input", "output"):
        for entry in config.get(kind, ()):
            if entry.get("allow_ragged_batch"):
                return f"input {entry['name']!r} is ragged"
            if entry.get("data_type") not in TYPES:
                return f"{kind} {entry['name']!r} is {entry.get('data_type')}"
    return None


def script_file(model: Path, version: str, config: Mapping[str, Any]) -> Path | None:
    """The TorchScript file of a version; None when there is none below the model's directory."""
    name = str(config.get("default_model_filename") or "model.pt")
    if os.path.isabs(name) or ".." in Path(name).parts:
        return None
    path = model / version / name
    # Beside a model.py it holds weights, for a runtime that is Python.
    return path if path.is_file() and not (model / version / "model.py").exists() else None
