"""``export_model``: a whole model directory out of one export."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_triton.errors import Misused
from pytest_triton.repository.config import CONFIG_NAME
from pytest_triton.repository.derive import LABELS_NAME, config_of
from pytest_triton.repository.sidecar import ExportRecord, write_record

Export = Callable[[Path], ExportRecord]

#: A blank in a directory's name makes Triton wait for ever; a hidden one is polled as a model.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")


def export_model(
    repository: Path | str, name: str, export: Export, *, version: int = 1, **options: Any
) -> ExportRecord:
    """Write ``repository/name`` with config.pbtxt, labels and one exported version, or nothing.

        export_model("model_repository", "classifier",
                     lambda directory: export_huggingface("my-bert/", path=directory))

    ``export`` fills the version directory; ``options`` are those of
    :func:`pytest_triton.repository.derive.config_of`. Raises Misused when the model is there
    already, and what the export raises.
    """
    repository = Path(repository)
    check_name(name)
    target = repository / name
    if target.exists() or target.is_symlink():
        raise Misused(f"{target} exists", "choose another name, or delete it")
    repository.mkdir(parents=True, exist_ok=True)
    # Beside the repository: a server that polls it would see half a model.
    parent = repository.resolve().parent
    work = Path(tempfile.mkdtemp(prefix=f".{repository.resolve().name}.", dir=parent))
    try:
        record = fill_model(work / name, name, export, version=version, **options)
        (work / name).rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return record


def check_name(name: str) -> None:
    """Raises Misused for a name that Triton cannot serve a model under."""
    if not _NAME.fullmatch(name):
        raise Misused(
            f"{name!r} is no name for a model: Triton hangs on blanks",
            "letters, digits, '_', '-' and '.', not beginning with '.'",
        )


def fill_model(
    directory: Path, name: str, export: Export, *, version: int = 1, **options: Any
) -> ExportRecord:
    """The same into an empty directory, without a word about others."""
    place = directory / str(version)
    place.mkdir(parents=True)
    record = replace(export(place), model=name, version=version)
    write_record(place, record)
    text = config_of(record, name=name, **options)
    (directory / CONFIG_NAME).write_text(text, encoding="utf-8")
    if record.labels and options.get("labels", True):
        lines = "".join(f"{label}\n" for label in record.labels)
        (directory / LABELS_NAME).write_text(lines, encoding="utf-8")
    return record
