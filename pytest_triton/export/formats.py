"""Exporters by the format of the file that they write."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from pytest_triton.export.interface import Exporter, ExportRefused

#: Format -> "module:class"; imported when it is asked for.
_BUILT: dict[str, str | Callable[..., Exporter]] = {
    "torchscript": "pytest_triton.export.torchscript:TorchScriptExporter",
}
#: Formats that people ask for, and why there is no exporter for them.
_NOT_BUILT = {
    "pt2": "Triton serves PT2 archives (platform torch_aoti) from release 26.03 on",
    "onnx": "torch.onnx.export writes them; Triton's onnxruntime backend serves them",
    "tensorrt": "trtexec builds them for one GPU and one TensorRT",
}


def known_formats() -> tuple[str, ...]:
    """The formats that can be written."""
    return tuple(sorted(_BUILT))


def register(name: str, exporter: str | Callable[..., Exporter]) -> None:
    """Make a format known: a class (or function) that gives an Exporter, or "module:name"."""
    _BUILT[name] = exporter


def exporter_of(name: str, **options: Any) -> Exporter:
    """The exporter of a format; ``options`` are its own. Raises ExportRefused."""
    found = _BUILT.get(name)
    if found is None:
        why = f": {_NOT_BUILT[name]}" if name in _NOT_BUILT else ""
        raise ExportRefused(
            f"no exporter for the format {name!r} is built{why}",
            f"formats are {', '.join(known_formats())}; register() adds one of your own",
        )
    if isinstance(found, str):
        module, _, attribute = found.partition(":")
        found = getattr(importlib.import_module(module), attribute)
    made: Exporter = found(**options)
    return made
