"""TorchScript modules of the corpus: ``"@torchscript:NAME"`` is what MODULES[NAME] writes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path


def _two_to_one(path: Path) -> None:
    """forward(left, right) -> left + right."""
    import torch

    class Sum(torch.nn.Module):
        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            return left + right

    _save(Sum(), path)


def _save(module: object, path: Path) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit as a whole
        torch.jit.save(torch.jit.script(module), str(path))


#: Name -> a function that writes the module as the model.pt at a path.
MODULES: dict[str, Callable[[Path], None]] = {
    "sum": _two_to_one,
}
