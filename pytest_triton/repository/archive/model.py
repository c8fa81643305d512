"""A model file: what it is, what its ``forward`` takes, which devices and files its code names."""

from __future__ import annotations

import os
import pickletools
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO

from pytest_triton.repository.archive.code import Seen
from pytest_triton.repository.archive.flow import follow
from pytest_triton.repository.archive.kinds import HEAD, Kind, kind_of
from pytest_triton.repository.archive.signature import (
    BadHeader,
    Signature,
    Type,
    header_end,
    parse_header,
)
from pytest_triton.repository.archive.sources import Sources, class_of, record_of, text_of
from pytest_triton.repository.archive.weights import WeightUse, floating_type
from pytest_triton.repository.archive.zipped import BrokenArchive, Records

#: Bytes of code that are unpacked, all records of one archive together.
MAX_CODE_BYTES = 16 * 1024 * 1024
#: Records of code that are opened.
MAX_CODE_RECORDS = 10_000
#: The class of the root object stands at the very beginning of data.pkl.
_MAX_PICKLE = 64 * 1024


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """A device that is written into the code."""

    device: str
    #: The statement is run whenever its function is: it stands in no branch and no loop.
    always: bool


@dataclass(frozen=True, slots=True)
class Archive:
    """What could be read of a model file; torch itself has not seen it."""

    kind: Kind
    size: int = 0
    #: Why it cannot be read, or not to its end.
    problem: str = ""
    #: The number in the record ``version``: of the format, not of torch.
    format_version: int | None = None
    #: The header of ``forward``; None when there is none or it was not found.
    forward: Signature | None = None
    #: The code of the root class was found, and it has no ``forward``.
    no_forward: bool = False
    devices: tuple[DeviceUse, ...] = ()
    #: Operators that touch files or the network: from_file, save, rpc_…; and __setstate__.
    hostile: tuple[str, ...] = ()
    #: The root module was saved in train mode; None when its record does not say.
    training: bool | None = None
    #: Layers in the code that do something else in training: dropout, batch_norm.
    layers: tuple[str, ...] = ()
    #: Those of them that the code runs as in training whatever the module's mode is.
    always_training: tuple[str, ...] = ()
    #: Operators that need a library besides torch's: ``torchvision::nms``.
    custom: tuple[str, ...] = ()
    #: Some class registers buffers that its own code assigns or changes in place.
    changes_buffers: bool = False
    #: Tensors among forward's arguments that certainly meet a weight, not converted before.
    weights: tuple[WeightUse, ...] = ()
    #: Elements of the result that certainly have no dimension; 0 where it is one tensor.
    scalars: tuple[int, ...] = ()


def read_archive(path: Path | str) -> Archive:
    """Look at a model file. Never raises for what it holds, nor for one that cannot be opened."""
    try:
        # Never waits for the writer of a fifo.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        return Archive("unreadable", problem=getattr(error, "strerror", None) or str(error))
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        what = "is a directory" if stat.S_ISDIR(status.st_mode) else "is no regular file"
        return Archive("unreadable", problem=what)
    with os.fdopen(handle, "rb") as file:
        try:
            return _read(file, status.st_size)
        except OSError as error:
            return Archive("unreadable", status.st_size, error.strerror or str(error))


def _read(file: IO[bytes], size: int) -> Archive:
    kind = kind_of(file.read(HEAD), size)
    if kind != "zip":
        return Archive(kind, size)
    try:
        records = Records(file, size)
    except BrokenArchive as error:
        return Archive("damaged", size, str(error))
    kind = _zip_kind(records)
    if kind != "torchscript":
        return Archive(kind, size)
    archive = Archive(kind, size)
    try:
        archive = replace(archive, format_version=_format_version(records))
        return _with_code(archive, records)
    except BrokenArchive as error:
        return replace(archive, problem=str(error))


def _zip_kind(records: Records) -> Kind:
    if "archive_format" in records or "serialized_exported_program.json" in records:
        return "PT2"
    if "model.json" in records:
        return "legacy TorchScript"
    if "data.pkl" not in records:
        return "zip"
    code = any(name.startswith("code/") for name in records.names)
    return "torchscript" if code and "constants.pkl" in records else "torch.save"


def _format_version(records: Records) -> int | None:
    name = next((name for name in (".data/version", "version") if name in records), "")
    if not name:
        raise BrokenArchive("the record 'version' is missing")
    text = records.read(name, 64).decode("latin-1").strip()
    if not re.fullmatch(r"\d{1,18}", text):
        raise BrokenArchive(f"the record 'version' holds {text!r} instead of a number")
    return int(text)


def _with_code(archive: Archive, records: Records) -> Archive:
    module, name, training = _root(records)
    seen = Seen()
    for text in _code(records):
        seen.look(text)
    archive = replace(
        archive,
        devices=tuple(DeviceUse(*use) for use in sorted(seen.devices.items())),
        hostile=tuple(seen.hostile),
        training=training,
        layers=tuple(seen.layers),
        always_training=tuple(layer for layer, always in seen.layers.items() if always),
        custom=tuple(seen.custom),
        changes_buffers=seen.changes,
    )
    text = text_of(records, record_of(module), MAX_CODE_BYTES)
    body = class_of(text, name)
    if body is None:
        raise BrokenArchive(f"the code of the class {module}.{name} is missing")
    if (found := re.search(r"^  def forward\(", body, re.MULTILINE)) is None:
        return replace(archive, no_forward=True)
    try:
        header = body[found.start() : header_end(body, found.start())]
        signature = parse_header(header.encode("latin-1").decode("utf-8", "replace"))
    except BadHeader as error:
        raise BrokenArchive(str(error)) from None
    results = _results(signature.returns, records)
    archive = replace(archive, forward=replace(signature, results=results))
    if seen.converts or "__setstate__" in seen.hostile:
        return archive
    return _with_flow(archive, signature, f"{module}.{name}", Sources(records, {module: text}))


def _with_flow(archive: Archive, signature: Signature, root: str, sources: Sources) -> Archive:
    tensors = [argument.type.name == "Tensor" for argument in signature.arguments]
    flow = follow(sources, root, tensors)
    records = sources.records
    weights = []
    types = {record: floating_type(records, record) for record in {m.record for m in flow.meetings}}
    for met in flow.meetings:
        if (found := types[met.record]) is None:
            continue
        kind, integers = found
        # With integers among them, the weight may be one of those: layers have none in practice,
        # and no convolution takes any.
        if not integers or "conv" in met.operator or met.operator == "linear":
            exact = met.exact and (not integers or "conv" in met.operator)
            weights.append(WeightUse(met.argument, met.operator, kind, exact))
    return replace(archive, weights=tuple(weights), scalars=flow.scalars)


def _root(records: Records) -> tuple[str, str, bool | None]:
    """Module, name and train mode of the root object: its class is the first global of data.pkl."""
    data = records.read("data.pkl", _MAX_PICKLE)
    module = name = ""
    words: list[str] = []
    training: bool | None = None
    try:
        for opcode, value, _ in pickletools.genops(data):
            if opcode.name in ("GLOBAL", "STACK_GLOBAL"):
                if module:
                    break  # a submodule, or the first tensor
                if opcode.name == "GLOBAL":
                    module, _, name = str(value).partition(" ")
                else:
                    module, name = words[-2:]
            elif opcode.name in ("NEWTRUE", "NEWFALSE") and words[-1:] == ["training"]:
                training = opcode.name == "NEWTRUE"
                break
            elif isinstance(value, str):
                words.append(value)
    except (ValueError, IndexError):
        pass  # cut off in the middle of an opcode: what came before counts
    if not re.fullmatch(r"__torch__[\w.]*", module):
        begins = f"begins with {module}.{name}"[:80] if module else "does not begin with a module"
        raise BrokenArchive(f"data.pkl {begins}: no class of TorchScript")
    return module, name, training


def _code(records: Records) -> Iterator[str]:
    """Every record of code, as long as the bounds allow it."""
    left = MAX_CODE_BYTES
    names = [name for name in records.names if name.startswith("code/") and name.endswith(".py")]
    for name in names[:MAX_CODE_RECORDS]:
        text = text_of(records, name, left)
        left -= len(text)
        yield text
        if left <= 0:
            return


def _results(returns: Type, records: Records) -> tuple[Type, ...]:
    """The elements of a result: of a tuple, of a named tuple, or itself."""
    if returns.name == "Tuple":
        return returns.items
    if not returns.name.startswith("__torch__"):
        return (returns,)
    module, _, name = returns.name.rpartition(".")
    try:
        body = class_of(text_of(records, record_of(module), MAX_CODE_BYTES), name) or ""
    except BrokenArchive:
        return (returns,)
    if not body.startswith(f"class {name}(NamedTuple):"):
        return (returns,)
    found = []
    members = re.finditer(r"^  \w+ : ([^\n=]{1,1000})", body, re.MULTILINE)
    for member in islice(members, 1000):
        try:
            found.append(parse_header(f"def forward(self) -> {member[1]}:").returns)
        except BadHeader:
            return (returns,)
    return tuple(found)
