"""What an exporter is: one implementation per file format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pytest_triton.errors import Misused
from pytest_triton.repository.sidecar import ExportRecord, Tensors
from pytest_triton.repository.tensors import TensorSpec


class ExportRefused(Misused):
    """The module cannot be exported, or what came out does not answer as the module does."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What goes in and out of a model, and how far sizes and values may vary."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    #: 0: the model does not batch, and shapes are complete.
    max_batch_size: int = 0
    #: Smallest and largest size of every named axis.
    axes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    #: Values that make sense for an input: [low, high).
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """Named inputs to compare on; sizes are read from the tensors."""

    name: str
    inputs: Tensors


#: A further proof, given the exported file as a function of named arrays; raises ExportRefused.
Proof = Callable[[Callable[[Tensors], Mapping[str, Any]]], None]


class Exporter(Protocol):
    """Turns a module in memory into a file that a Triton backend loads.

    One implementation for each file format; :mod:`pytest_triton.export.formats` finds it.
    """

    #: "torchscript", …: what the side-car calls it, and what it is found by.
    format: str
    #: The backend's default file name, and the platform that config.pbtxt names.
    file_name: str
    platform: str

    def export(
        self,
        module: Any,
        example: Tensors,
        path: Path,
        *,
        signature: Signature,
        cases: Sequence[Case],
        seed: int,
        rtol: float,
        atol: float,
        proof: Proof | None = None,
    ) -> ExportRecord:
        """Write ``path`` with its side-car and golden file beside it.

        Raises ExportRefused, leaving nothing behind, when the file does not answer as
        ``module`` does on every case.
        """
        ...
