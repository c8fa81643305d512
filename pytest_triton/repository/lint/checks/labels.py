"""Rules TEN006 to TEN008: files of labels."""

from __future__ import annotations

import math
import stat
from pathlib import Path
from typing import Any

from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.positions import FieldPath

#: Bytes of a file of labels that are counted; a larger one is not counted.
_MAX_BYTES = 16 << 20
_STRING = 13


@check("TEN006", "TEN007", "TEN008")
def labels(model: LintedModel) -> None:
    """Whether the file is there, and has as many labels as the output has classes."""
    for index, entry in enumerate(model.config.output):
        if not entry.label_filename:
            continue
        path = ("output", index, "label_filename")
        if entry.data_type == _STRING:
            model.report(
                "TEN008",
                f'output "{entry.name}" is TYPE_STRING: a request for its classes ends the whole '
                "server",
                path,
                fix="take out label_filename",
                edits=model.removing(path),
            )
        if model.directory is not None:
            # Like the core: a path that begins with / is below the model's directory too.
            _file(model, path, entry, model.path / str(entry.label_filename).lstrip("/"))


def _file(model: LintedModel, path: FieldPath, entry: Any, file: Path) -> None:
    shown = entry.label_filename
    try:
        status = file.stat()
    except (OSError, ValueError):
        within = [
            str(version)
            for version in model.directory.versions[:8]  # type: ignore[union-attr]
            if (model.path / str(version) / str(shown)).is_file()
        ] if "\0" not in shown else []  # fmt: skip
        model.report(
            "TEN006",
            f'label file "{shown}" is not in the model\'s directory: Triton refuses the model',
            path,
            fix=f"move it up, from {within[0]}/ to the directory of config.pbtxt"
            if within
            else "add the file beside config.pbtxt, or take out label_filename",
        )
        return
    if not stat.S_ISREG(status.st_mode):
        what = "a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
        model.report(
            "TEN006",
            f'label file "{shown}" is {what}: the load hangs or ends the server',
            path,
            fix="name a text file with one label on each line",
        )
        return
    if status.st_size <= _MAX_BYTES:
        _count(model, path, entry, file)


def _count(model: LintedModel, path: FieldPath, entry: Any, file: Path) -> None:
    try:
        data = file.read_bytes()
    except OSError:
        return
    number = data.count(b"\n") + (not data.endswith(b"\n") if data else 0)
    sizes = [size for size in entry.dims if size > 0]
    if len(sizes) != len(entry.dims) or not sizes:
        return
    # [ 128, 9 ] with 9 labels: a class for each of 128 places.
    if number in (math.prod(sizes), *sizes):
        return
    classes = math.prod(sizes)
    lacking, more = abs(classes - number), number > classes
    if lacking == 1:
        lack = "one name that no class has" if more else "one class without a name"
    else:
        lack = f"{lacking} " + ("names that no class has" if more else "classes without a name")
    model.report(
        "TEN007",
        f'"{entry.label_filename}" has {number} labels, and output "{entry.name}" has {classes} '
        f"classes: {lack}",
        path,
        fix="write one label for each class, on a line of its own",
    )
