"""Find and load the TorchScript file of one model version onto one device."""

from __future__ import annotations

import os
from typing import Any

from torchscript_refusal import INTERNAL, UNAVAILABLE, Refusal


def find_file(repository: str, version: str, filename: str, model: str) -> str:
    """Path of the model file; ``repository`` is the model's own directory."""
    path = f"{repository.rstrip('/')}/{version}/{(filename or 'model.pt').removeprefix('/')}"
    if not os.path.exists(path):
        raise Refusal(UNAVAILABLE, f"unable to find '{path}' for model instance '{model}'")
    if os.path.isdir(path):
        # The C++ backend ends the server here.
        raise Refusal(INTERNAL, f"failed to open/read file '{path}': Is a directory")
    if not os.access(path, os.R_OK):
        raise Refusal(INTERNAL, f"failed to open/read file '{path}': Permission denied")
    return path


def load_module(path: str, device: Any, model: str) -> Any:
    """A ``torch.jit`` module on ``device`` (``None``: where the file says); never ``eval()``.

    Raises :class:`Refusal` with torch's own words. Inference mode is the caller's business.
    """
    import io

    import torch

    try:
        return torch.jit.load(path, map_location=device)
    except Exception as first:
        # C++ reads the file into memory first, and the words of torch depend on that.
        try:
            with open(path, "rb") as file:
                return torch.jit.load(io.BytesIO(file.read()), map_location=device)
        except Exception as error:
            text = str(error) or str(first)
        raise Refusal(INTERNAL, f"failed to load model '{model}': {text}") from None
