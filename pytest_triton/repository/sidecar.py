"""What an export leaves beside the model file: ``export.json`` and ``golden.npz``.

The side-car says how the model was made and how it was proven; the golden file holds
inputs with the outputs that the eager module gave for them.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from pytest_triton.errors import ToolError
from pytest_triton.repository.tensors import TensorSpec

SIDECAR_NAME = "export.json"
GOLDEN_NAME = "golden.npz"
SCHEMA_VERSION = 1
#: Bytes, unpacked. A side-car may come with a repository that is not ours.
MAX_SIDECAR_BYTES, MAX_GOLDEN_BYTES = 4 << 20, 256 << 20
#: What is written at most: large logits would fill the disk; the first case is always kept.
MAX_WRITTEN_BYTES = 32 << 20

Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Parity:
    """One comparison of the exported file with the eager module."""

    case: str
    #: Rows of the batch; 0 when the model does not batch.
    batch: int
    #: The sizes of the named axes in this case.
    axes: Mapping[str, int]
    max_abs: float
    max_rel: float
    #: Whether the trace was recorded on these very sizes.
    traced: bool = False


@dataclass(frozen=True, slots=True)
class Variant:
    """What freezing or optimising the file was measured to bring, at one batch size."""

    #: "frozen" or "optimized".
    name: str
    #: Rows of every call; 0 when the model does not batch.
    batch: int
    #: "faster", "slower", "no difference", "inconclusive", or "not possible".
    verdict: str
    #: Median time of a call over that of the plain file (below 1: faster), 95 % interval.
    ratio: float = 0.0
    low: float = 0.0
    high: float = 0.0
    #: Median milliseconds of a call of the plain file.
    plain_ms: float = 0.0
    #: Pairs of measurements, taken in turn.
    pairs: int = 0
    #: Why it is not possible.
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GoldenCase:
    """Inputs and the outputs that belong to them, with the batch dimension if there is one."""

    name: str
    inputs: Tensors
    outputs: Tensors


@dataclass(frozen=True, slots=True)
class ExportRecord:
    """How one version of one model was made; written as ``export.json``."""

    format: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int
    seed: int
    #: Largest allowed |served - eager| is atol + rtol * |eager|.
    rtol: float = 1e-4
    atol: float = 1e-5
    #: Smallest and largest size of every named axis.
    axes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    #: Values that make sense for an input: [low, high), integers or floats.
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    parity: tuple[Parity, ...] = ()
    model: str = ""
    version: int = 0
    file: str = ""
    sha256: str = ""
    golden_sha256: str = ""
    torch_version: str = ""
    method: str = ""
    frozen: bool = False
    #: "plain", "frozen" or "optimized": what the file is.
    variant: str = "plain"
    #: What config.pbtxt says, e.g. "pytorch_libtorch".
    platform: str = ""
    #: What the variants were measured to bring; empty: not measured, nothing is claimed.
    variants: tuple[Variant, ...] = ()
    #: Where they were measured: processor, threads, torch, load.
    measured_on: str = ""
    #: How the backend finds the inputs: "arguments", "index" or "order".
    naming: str = ""
    #: What stands between the module and the file: outputs chosen, types converted.
    adapted: tuple[str, ...] = ()
    transformers_version: str = ""
    #: A HuggingFace model: its class, task, and what was chosen for it (attention, pooling, …).
    architecture: str = ""
    task: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)
    #: Labels of the classes, in their order.
    labels: tuple[str, ...] = ()
    #: forward() as TorchScript prints it.
    schema: str = ""
    #: Devices that are written into the graph; empty means that it runs on any.
    device_constants: tuple[str, ...] = ()
    parameters: int = 0
    #: Each response carries one row of a golden output: the rows are the stream, in order.
    decoupled: bool = False

    @property
    def batches(self) -> bool:
        """Whether tensors carry a leading batch dimension."""
        return self.max_batch_size > 0

    def to_json(self) -> dict[str, Any]:
        """Shapes as in the server's metadata (-1 first when batched), axis names beside them."""
        data = asdict(self)
        for kind in ("inputs", "outputs"):
            data[kind] = [self._tensor_json(tensor) for tensor in getattr(self, kind)]
        data["axes"] = {name: {"low": low, "high": high} for name, (low, high) in self.axes.items()}
        data["ranges"] = {
            name: {"low": low, "high": high} for name, (low, high) in self.ranges.items()
        }
        return {"schema_version": SCHEMA_VERSION, **data}

    def _tensor_json(self, tensor: TensorSpec) -> dict[str, Any]:
        lead: tuple[int | str, ...] = ("batch",) if self.batches else ()
        full = lead + tensor.shape
        return {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": [size if isinstance(size, int) else -1 for size in full],
            "axes": {str(at): size for at, size in enumerate(full) if isinstance(size, str)},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ExportRecord:
        """The inverse of :meth:`to_json`. Raises KeyError, TypeError or ValueError.

        What a later version added is left out.
        """
        known = {entry.name for entry in fields(cls)}
        values = {key: value for key, value in data.items() if key in known}
        skip = 1 if data["max_batch_size"] > 0 else 0
        for kind in ("inputs", "outputs"):
            values[kind] = tuple(
                TensorSpec(
                    tensor["name"],
                    tensor["datatype"],
                    tuple(
                        tensor["axes"].get(str(at), size) for at, size in enumerate(tensor["shape"])
                    )[skip:],
                )
                for tensor in data[kind]
            )
        values["axes"] = {name: (a["low"], a["high"]) for name, a in data["axes"].items()}
        values["ranges"] = {name: (a["low"], a["high"]) for name, a in data["ranges"].items()}
        values["parity"] = tuple(Parity(**entry) for entry in data["parity"])
        values["variants"] = tuple(Variant(**entry) for entry in data.get("variants", ()))
        for kind in ("device_constants", "adapted", "labels"):
            values[kind] = tuple(data.get(kind, ()))
        return cls(**values)


def write_sidecar(
    directory: Path, record: ExportRecord, cases: Sequence[GoldenCase]
) -> ExportRecord:
    """Write both files; returns the record with the checksum of the golden outputs in it.

    Cases beyond MAX_WRITTEN_BYTES are left out of the golden file.
    """
    cases = _small_enough(cases)
    record = replace(record, golden_sha256=golden_sha256(cases))
    arrays: dict[str, Any] = {}
    for case in cases:
        for way, tensors in (("in", case.inputs), ("out", case.outputs)):
            for name, value in tensors.items():
                arrays[f"{way}/{case.name}/{name}"] = _storable(value)
    golden = directory / GOLDEN_NAME
    temporary = golden.with_name(f".{os.getpid()}.{golden.name}")
    np.savez(temporary, **arrays)
    temporary.replace(golden)
    write_record(directory, record)
    return record


def write_record(directory: Path, record: ExportRecord) -> None:
    """Write the side-car alone, so that no reader sees half of it."""
    sidecar = directory / SIDECAR_NAME
    temporary = sidecar.with_name(f".{os.getpid()}.{sidecar.name}")
    text = json.dumps(record.to_json(), indent=1, ensure_ascii=False)
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(sidecar)


def _small_enough(cases: Sequence[GoldenCase]) -> list[GoldenCase]:
    """The cases in their order, without those that would make the file too large."""
    kept: list[GoldenCase] = []
    written = 0
    for case in cases:
        size = sum(value.nbytes for value in (*case.inputs.values(), *case.outputs.values()))
        if not kept or written + size <= MAX_WRITTEN_BYTES:
            kept.append(case)
            written += size
    return kept


def read_sidecar(directory: Path) -> ExportRecord | None:
    """The record of a version directory, or None if it has none. Raises ToolError if unreadable."""
    path = directory / SIDECAR_NAME
    try:
        with path.open("rb") as file:
            text = file.read(MAX_SIDECAR_BYTES)
    except FileNotFoundError:
        return None
    try:
        return ExportRecord.from_json(json.loads(text))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        remedy = "export the model again, or delete the file"
        raise ToolError(f"{path} is not a side-car: {error!r}", remedy) from None


def read_golden(directory: Path) -> tuple[GoldenCase, ...]:
    """The golden cases of a version directory, in the order written; empty if there are none."""
    path = directory / GOLDEN_NAME
    if not path.exists():
        return ()
    found: dict[str, tuple[dict[str, np.ndarray], dict[str, np.ndarray]]] = {}
    try:
        with ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_GOLDEN_BYTES:
                raise ValueError(f"it holds more than {MAX_GOLDEN_BYTES >> 20} MiB")
        with np.load(path, allow_pickle=False) as file:
            for key in file.files:
                way, case, name = key.split("/", 2)
                value = file[key]
                # Strings are stored as fixed-width bytes, because object arrays need pickle.
                value = value.astype(object) if value.dtype.kind == "S" else value
                found.setdefault(case, ({}, {}))[0 if way == "in" else 1][name] = value
    except (ValueError, OSError, EOFError, AttributeError, BadZipFile, zlib.error) as error:
        raise ToolError(f"{path} cannot be read: {error}", "export the model again") from None
    return tuple(GoldenCase(name, *tensors) for name, tensors in found.items())


def golden_sha256(cases: Sequence[GoldenCase]) -> str:
    """A checksum of the golden outputs: equal seeds give equal ones."""
    digest = hashlib.sha256()
    for case in cases:
        for name, value in sorted(case.outputs.items()):
            stored = np.ascontiguousarray(_storable(value))
            digest.update(f"{case.name}/{name}/{stored.dtype.str}/{stored.shape}".encode())
            digest.update(stored.tobytes())
    return digest.hexdigest()


def _storable(value: np.ndarray) -> np.ndarray:
    """Object arrays of bytes as fixed-width bytes; others as they are."""
    if value.dtype.kind != "O":
        return value
    if any(bytes(item).endswith(b"\0") for item in value.flat):
        raise ValueError("a golden string must not end in NUL: numpy would cut it")
    return value.astype("S")
