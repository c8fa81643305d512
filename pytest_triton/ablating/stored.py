"""A model of a repository as it stands, and its directory once more with other parameters."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_triton.ablating.arms import Arm
from pytest_triton.ablating.sources import scores, signature_of
from pytest_triton.errors import Misused
from pytest_triton.export.interface import Signature
from pytest_triton.repository.config import (
    CONFIG_NAME,
    ModelTensor,
    backend_of,
    inputs_of,
    outputs_of,
    read_config,
    selected_versions,
    write_config,
)
from pytest_triton.repository.layout import model_directory
from pytest_triton.repository.sidecar import ExportRecord, Tensors, read_sidecar
from pytest_triton.repository.tensors import TensorSpec


class Repository:
    """A model of a repository: its file stays, only parameters of its configuration change."""

    kind, files = "repository", False
    reference = "what the base serves"

    def __init__(self, repository: Path, name: str, length: int) -> None:
        self.name, self.length = name, length
        self.directory = repository / name
        if not (self.directory / CONFIG_NAME).is_file():
            raise Misused(
                f"{self.directory} has no {CONFIG_NAME}", "name a model of the repository"
            )
        self.config = read_config(self.directory)
        if backend_of(self.config) != "pytorch":
            raise Misused(
                f"{name} is served by the backend {backend_of(self.config) or 'nobody knows which'}",
                "these parameters belong to the PyTorch backend: name a model of TorchScript",
            )
        self.parameters: Mapping[str, str] = {
            key: value.string_value for key, value in self.config.parameters.items()
        }

    def make(self, arm: Arm, directory: Path) -> Signature:
        copied(self.directory, directory)
        config = read_config(self.directory)
        config.name = arm.name
        rewritten(config, directory, arm)
        return self._signature()

    @property
    def precision(self) -> str:
        """As the side-car says; else FP16 outputs tell, and "" is what cannot be known: half
        precision may be inside of a file that gives FP32."""
        record = self._record()
        if known := record.choices.get("dtype", "") if record else "":
            return known
        half = any(one.datatype == "FP16" for one in self._signature().outputs)
        return "float16" if half else ""

    def answers(self, requests: Sequence[Tensors]) -> None:
        return None

    def choice(self) -> str:
        return scores(self._signature().outputs)

    def _record(self) -> ExportRecord | None:
        versions = selected_versions(self.config, model_directory(self.directory).versions)
        return read_sidecar(self.directory / str(versions[-1])) if versions else None

    def _signature(self) -> Signature:
        """As the side-car says, which knows ranges and axes; else as config.pbtxt does."""
        config, record = self.config, self._record()
        size = int(config.max_batch_size)
        names = [one.name for one in inputs_of(config)]
        if record and record.batches == (size > 0) and names == [one.name for one in record.inputs]:
            return replace(signature_of(record), max_batch_size=size)
        axes = {"length": (1, self.length)}
        inputs, outputs = (
            tuple(_spec(tensor, size > 0) for tensor in found)
            for found in (inputs_of(config), outputs_of(config))
        )
        return Signature(inputs, outputs, size, axes, {})


def copied(model: Path, target: Path) -> None:
    """A model's directory once more; files are linked where the file system can."""

    def link(source: str, place: str) -> None:
        try:
            os.link(os.path.realpath(source), place)
        except OSError:
            shutil.copy2(source, place)

    shutil.copytree(model, target, copy_function=link)
    # Directories are ours to write in and to remove; files may be links to somebody's own.
    for place, _, _ in os.walk(target):
        os.chmod(place, 0o755)


def rewritten(config: Any, directory: Path, arm: Arm) -> None:
    """The configuration with the parameters of the arm, in place of the one that is there."""
    for key, value in arm.parameters.items():
        config.parameters[key].string_value = value
    write_config(config, directory / CONFIG_NAME)


def _spec(tensor: ModelTensor, batches: bool) -> TensorSpec:
    shape = tensor.shape[1:] if batches else tensor.shape
    sizes = tuple("length" if size < 0 else size for size in shape)
    return TensorSpec(tensor.name, tensor.datatype, sizes)
