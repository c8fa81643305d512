"""PyTorch modules -> model files, each with a proof of parity. torch is imported inside functions.

``export_torchscript`` is what most need, ``export_huggingface`` does the same for a model of
transformers, ``export_model`` makes a whole model directory with its config.pbtxt out of
either. :mod:`pytest_triton.export.interface` is what a further format (PT2 archives)
implements, :mod:`pytest_triton.export.formats` where it is registered.
"""

from __future__ import annotations

from pytest_triton.export.formats import exporter_of, known_formats, register
from pytest_triton.export.function import export_torchscript
from pytest_triton.export.huggingface import export_huggingface
from pytest_triton.export.interface import Exporter, ExportRefused
from pytest_triton.export.model import export_model
from pytest_triton.export.torchscript import TorchScriptExporter
from pytest_triton.repository.derive import config_of
from pytest_triton.repository.sidecar import ExportRecord, GoldenCase, Parity, Variant
from pytest_triton.repository.tensors import TensorSpec

__all__ = [
    "ExportRecord",
    "ExportRefused",
    "Exporter",
    "GoldenCase",
    "Parity",
    "TensorSpec",
    "TorchScriptExporter",
    "Variant",
    "config_of",
    "export_huggingface",
    "export_model",
    "export_torchscript",
    "exporter_of",
    "known_formats",
    "register",
]
