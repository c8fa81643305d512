"""Writes the model repository of the table."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import backend_modules
import torch
from backend_case import Case


@dataclass(frozen=True)
class Table:
    """A booted server that holds the models of all rows, none of them loaded."""

    url: str
    grpc_url: str
    repository: Path
    log: Path
    release: str

    def status(self, code: int) -> int:
        """The HTTP status of an error: servers before 24.01 say 400 to every failed request."""
        return 400 if self.release == "23.10" else code


def build(repository: Path, cases: Iterable[Case]) -> None:
    """One directory for each case, named as the case."""
    for case in cases:
        directory = repository / case.name
        directory.mkdir(parents=True)
        platform = "" if "backend:" in case.config else 'platform: "pytorch_libtorch"\n'
        text = f'name: "{case.name}"\n{platform}{case.config}\n'
        if "instance_group" not in text:
            text += "instance_group { kind: KIND_CPU }\n"
        (directory / "config.pbtxt").write_text(text)
        for version in case.versions:
            (directory / str(version)).mkdir()
            _write(directory / str(version), case)


@cache
def scripted(module: str, arguments: tuple[Any, ...], train: bool = False) -> bytes:
    """The bytes of a TorchScript file."""
    made = getattr(backend_modules, module)(*arguments).train(train)
    buffer = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit as a whole
        torch.jit.save(torch.jit.script(made), buffer)
    return buffer.getvalue()


def _write(directory: Path, case: Case) -> None:
    path = directory / ("other.pt" if case.artifact == "elsewhere" else "model.pt")
    if case.artifact == "none":
        (directory / "README").touch()
    elif case.artifact == "directory":
        path.mkdir()
    elif case.artifact == "text":
        path.write_text("not a model\n" * 100)
    elif case.artifact == "empty":
        path.touch()
    elif case.artifact == "state_dict":
        torch.save({"weight": torch.ones(2)}, path)
    else:
        path.write_bytes(scripted(case.module, case.arguments, case.artifact == "train"))
