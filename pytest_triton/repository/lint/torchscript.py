"""A model of the PyTorch backend as its checks see it: arguments, positions, files.

How names become positions is the backend's own order of decisions: every input name is an
argument of ``forward``; else every name has digits behind its first ``__``; else the order of
the configuration. One name out of line sends all of them to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pytest_triton.repository.archive import Archive, Signature, Type, read_archive
from pytest_triton.repository.config import selected_versions
from pytest_triton.repository.lint.backends import backend
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.positions import FieldPath

Convention = Literal["arguments", "index", "order"]

DEFAULT_FILE = "model.pt"
#: What TorchScript and Triton share.
TENSOR_TYPES = frozenset(
    "TYPE_" + name
    for name in ("BOOL", "UINT8", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64")
)


@dataclass(frozen=True, slots=True)
class Export:
    """The file of one version that is served."""

    version: int
    #: Below the model's directory.
    relative: str
    path: Path
    archive: Archive


@dataclass(frozen=True, slots=True)
class Placed:
    """A tensor of the configuration and the position that the backend gives it."""

    name: str
    #: Where the configuration names it.
    where: FieldPath
    index: int
    strings: bool = False


def is_torchscript(model: LintedModel) -> bool:
    """Whether libtorch serves it: neither a Python ``runtime`` nor an AOTInductor archive."""
    if model.config.runtime or model.config.platform == "torch_aoti":
        return False
    return backend(model) == "pytorch"


def exports(model: LintedModel) -> tuple[Export, ...]:
    """The files of the served versions that are there; each is read once."""
    if "exports" not in model.memory:
        model.memory["exports"] = tuple(_exports(model))
    found: tuple[Export, ...] = model.memory["exports"]
    return found


def _exports(model: LintedModel) -> list[Export]:
    directory = model.directory
    if directory is None or not is_torchscript(model):
        return []
    name = str(model.config.default_model_filename).lstrip("/") or DEFAULT_FILE
    found = []
    for version in selected_versions(model.config, directory.versions):
        path = directory.version_path(version) / name
        if path.exists():
            found.append(Export(version, f"{version}/{name}", path, read_archive(path)))
    return found


def signatures(model: LintedModel) -> list[tuple[str, Signature]]:
    """Each different ``forward`` of the served versions, with words that tell which it is."""
    found: dict[Signature, int] = {}
    for export in exports(model):
        if export.archive.forward is not None:
            found.setdefault(export.archive.forward, export.version)
    several = len(found) > 1
    return [
        (f"{forward} of version {version}" if several else str(forward), forward)
        for forward, version in found.items()
    ]


def is_dict(forward: Signature) -> bool:
    """Whether all inputs travel in one dictionary, by name."""
    return len(forward.arguments) == 1 and forward.arguments[0].type.name == "Dict"


def plain(kind: Type) -> bool:
    """Whether the backend loads a model with an argument of this type."""
    return kind.name in ("Tensor", "List")


def has_index(name: str) -> bool:
    """``<name>__<digits>``: only the first ``__`` counts, and no digits at all mean 0."""
    _, found, suffix = name.partition("__")
    return bool(found) and all(char in "0123456789" for char in suffix)


def index_of(name: str) -> int:
    """The index behind the first ``__``."""
    return int(name.partition("__")[2][:9] or 0)


def convention_of(names: Sequence[str], arguments: Sequence[str]) -> Convention:
    """How the backend reads these names; ``arguments`` is empty for outputs."""
    if arguments and names and all(name in arguments for name in names):
        return "arguments"
    return "index" if all(has_index(name) for name in names) else "order"


def data_type(entry: Any) -> str:
    """The name of a tensor's type: ``TYPE_FP32``."""
    kind = entry.DESCRIPTOR.fields_by_name["data_type"].enum_type
    value = kind.values_by_number.get(entry.data_type)
    return str(value.name) if value is not None else "TYPE_INVALID"


def controls(model: LintedModel) -> list[tuple[FieldPath, str, str, Any]]:
    """Control tensors: path of the entry, name, kind, control; one for each kind."""
    found = []
    if model.config.WhichOneof("scheduling_choice") != "sequence_batching":
        return []
    for at, entry in enumerate(model.config.sequence_batching.control_input):
        for number, control in enumerate(entry.control):
            kind = control.DESCRIPTOR.fields_by_name["kind"].enum_type.values_by_number
            path: FieldPath = ("sequence_batching", "control_input", at, "control", number)
            name = kind[control.kind].name if control.kind in kind else ""
            found.append((path, entry.name, name, control))
    return found


def states(model: LintedModel) -> list[tuple[FieldPath, Any]]:
    """States that the sequence batcher keeps."""
    if model.config.WhichOneof("scheduling_choice") != "sequence_batching":
        return []
    return [
        (("sequence_batching", "state", at), state)
        for at, state in enumerate(model.config.sequence_batching.state)
    ]


def input_count(model: LintedModel) -> int:
    """Tensors that the backend counts as inputs."""
    config = model.config
    return len(config.input) + len(config.batch_input) + len(controls(model)) + len(states(model))


def placed_inputs(model: LintedModel, convention: Convention, forward: Signature | None,
                  ) -> list[Placed]:  # fmt: skip
    """Every tensor that reaches ``forward``, with its position."""
    arguments = [argument.name for argument in forward.arguments] if forward else []

    def position(name: str, order: int) -> int | None:
        if convention == "arguments":
            return arguments.index(name) if name in arguments else None
        return index_of(name) if convention == "index" else order

    found = []
    wanted: list[tuple[str, FieldPath, bool, int]] = []
    order = 0
    for order, entry in enumerate(model.config.input):
        wanted.append((entry.name, ("input", order, "name"), _strings(entry), order))
    for number, (path, state) in enumerate(states(model)):
        wanted.append((state.input_name, (*path, "input_name"), _strings(state), number))
    order = len(model.config.input)
    for at, entry in enumerate(model.config.batch_input):
        for name in entry.target_name:
            wanted.append((name, ("batch_input", at), False, order))
            order += 1
    for name, where, strings, number in wanted:
        index = position(name, number)
        if index is not None:
            found.append(Placed(name, where, index, strings))
    for path, name, _, _ in controls(model):
        if has_index(name):
            found.append(Placed(name, path[:-2], index_of(name)))
    return found


def placed_outputs(model: LintedModel) -> tuple[Convention, list[Placed]]:
    """Every output of the configuration, with the element of the result that it is."""
    convention = convention_of([entry.name for entry in model.config.output], ())
    found = [
        Placed(
            entry.name,
            ("output", order, "name"),
            index_of(entry.name) if convention == "index" else order,
            _strings(entry),
        )
        for order, entry in enumerate(model.config.output)
    ]
    return convention, found


def _strings(entry: Any) -> bool:
    return data_type(entry) == "TYPE_STRING"
