"""PyTorch modules -> model files, each with a proof of parity. torch is imported inside functions.

``export_torchscript`` is what most need; :mod:`pytest_triton.export.interface` is what a
further format (PT2 archives) implements.
"""

from __future__ import annotations

from pytest_triton.export.interface import Exporter, ExportRefused
from pytest_triton.export.torchscript import TorchScriptExporter, export_torchscript
from pytest_triton.repository.sidecar import ExportRecord, GoldenCase, Parity
from pytest_triton.repository.tensors import TensorSpec

__all__ = [
    "ExportRecord",
    "ExportRefused",
    "Exporter",
    "GoldenCase",
    "Parity",
    "TensorSpec",
    "TorchScriptExporter",
    "export_torchscript",
]
