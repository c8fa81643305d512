"""TorchScript modules of the corpus: ``"@torchscript:NAME"`` is what MODULES[NAME] writes."""

from __future__ import annotations

import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

Write = Callable[[Path], None]


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


def _scripted(name: str, *, train: bool = False) -> Write:
    """A class of corpus_torch.py."""

    def write(path: Path) -> None:
        import corpus_torch

        _save(getattr(corpus_torch, name)().train(train), path)

    return write


def _traced(name: str) -> Write:
    """The same, traced with a tensor of four numbers."""

    def write(path: Path) -> None:
        import corpus_torch
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = torch.jit.trace(getattr(corpus_torch, name)().eval(), torch.zeros(4))
            torch.jit.save(module, str(path))

    return write


def _state_dict(path: Path) -> None:
    """What torch.save makes of weights: no TorchScript."""
    import torch

    torch.save({"weight": torch.ones(2)}, path)


def _newer_format(path: Path) -> None:
    """A format version that no torch reads."""
    whole = path.with_name("whole.pt")
    _scripted("One")(whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.infolist():
            data = source.read(entry)
            target.writestr(entry, b"11\n" if entry.filename.endswith("/version") else data)


def _truncated(path: Path) -> None:
    """The first half of a file."""
    whole = path.with_name("whole.pt")
    _scripted("One")(whole)
    shutil.copyfile(whole, path)
    with path.open("r+b") as file:
        file.truncate(whole.stat().st_size // 2)


#: Name -> a function that writes the module as the model.pt at a path.
MODULES: dict[str, Write] = {
    "sum": _two_to_one,
    "one": _scripted("One"),
    "three": _scripted("Three"),
    "subtract": _scripted("Subtract"),
    "unannotated": _scripted("Unannotated"),
    "pair": _scripted("Pair"),
    "named_pair": _scripted("NamedPair"),
    "optional_mask": _scripted("OptionalMask"),
    "scaled": _scripted("Scaled"),
    "from_dict": _scripted("FromDict"),
    "dict_and_tensor": _scripted("DictAndTensor"),
    "to_dict": _scripted("ToDict"),
    "to_list": _scripted("ToList"),
    "with_number": _scripted("WithNumber"),
    "from_list": _scripted("FromList"),
    "image": _scripted("Image"),
    "echo": _scripted("Echo"),
    "lengths": _scripted("Lengths"),
    "no_forward": _scripted("NoForward"),
    "dropping": _scripted("Dropping"),
    "dropping_in_training": _scripted("Dropping", train=True),
    "positions_traced": _traced("Positions"),
    "positions_scripted": _scripted("Positions"),
    "on_gpu": _scripted("OnGpu"),
    "on_gpu_if_large": _scripted("OnGpuIfLarge"),
    "counter": _scripted("Counter"),
    "reader": _scripted("Reader"),
    "started": _scripted("Started"),
    "accumulate": _scripted("Accumulate"),
    "layers": _scripted("Layers"),
    "half_layers": _scripted("HalfLayers"),
    "bfloat16_layers": _scripted("BFloat16Layers"),
    "half_inside": _scripted("HalfInside"),
    "total": _scripted("Total"),
    "total_traced": _traced("Total"),
    "total_and_rows": _scripted("TotalAndRows"),
    "state_dict": _state_dict,
    "newer_format": _newer_format,
    "truncated": _truncated,
}
