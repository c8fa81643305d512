"""Find and load the TorchScript file of one model version onto one device."""

from __future__ import annotations

import io
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
    text = ""
    # C++ reads the file into memory, and the words of torch depend on that: only the last
    # attempt's are used. The path is tried first because it needs half the memory.
    for attempt in (_from_path, _with_torchvision, _from_memory):
        try:
            return attempt(path, device, text)
        except Exception as error:
            text = str(error)
    raise Refusal(INTERNAL, f"failed to load model '{model}': {text}")


def _from_path(path: str, device: Any, _: str) -> Any:
    import torch

    return torch.jit.load(path, map_location=device)


def _with_torchvision(path: str, device: Any, text: str) -> Any:
    """The C++ backend is built with the operators of torchvision."""
    if "torchvision::" not in text:
        raise RuntimeError(text)
    import torchvision  # noqa: F401

    return _from_path(path, device, text)


def _from_memory(path: str, device: Any, _: str) -> Any:
    import torch

    with open(path, "rb") as file:
        return torch.jit.load(io.BytesIO(file.read()), map_location=device)
