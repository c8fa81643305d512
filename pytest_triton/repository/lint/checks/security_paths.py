"""Rules SEC001 to SEC003: what leads out of the model's directory or the repository."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_triton.repository.lint.backends import backend
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.lint.tree import items
from pytest_triton.repository.positions import FieldPath

_ENVIRONMENT = "EXECUTION_ENV_PATH"
_HERE = "$$TRITON_MODEL_DIRECTORY"


@check("SEC001", needs_config=False)
def links(model: LintedModel) -> None:
    """Symbolic links out of what is linted: what they lead to is not part of it."""
    if model.directory is None or model.repository is None:
        return
    top = os.path.realpath(model.repository.path)
    if model.path.is_symlink() and not _within(model.path, top):
        _report_link(model, ".", model.path)
        return
    for one in items(model):
        if one.link and one.what != "broken link" and not _within(one.path, top):
            _report_link(model, one.relative, one.path)


def _within(path: Path, top: str) -> bool:
    real = os.path.realpath(path)
    return real == top or real.startswith(top.rstrip("/") + "/")


def _report_link(model: LintedModel, relative: str, path: Path) -> None:
    model.report(
        "SEC001",
        f"a link out of the repository, to {os.path.realpath(path)}: Triton follows it, and what "
        "is there may change or be missing elsewhere",
        file=relative,
        fix="copy the file into the repository",
    )


@check("SEC002")
def paths(model: LintedModel) -> None:
    """Paths of the configuration that climb out of the model's directory."""
    config = model.config
    named: list[tuple[FieldPath, str, str]] = [
        (("default_model_filename",), str(config.default_model_filename), "1/"),
        (("runtime",), str(config.runtime), ""),
    ]
    for key, value in config.cc_model_filenames.items():
        named.append((("cc_model_filenames", key), str(value), "1/"))
    for at, entry in enumerate(config.output):
        named.append((("output", at, "label_filename"), str(entry.label_filename), ""))
    for at, warmup in enumerate(config.model_warmup):
        for key, tensor in warmup.inputs.items():
            path: FieldPath = ("model_warmup", at, "inputs", key, "value", "input_data_file")
            named.append((path, str(tensor.input_data_file), "warmup/"))
    for at, state in enumerate(config.sequence_batching.state):
        for number, initial in enumerate(state.initial_state):
            path = ("sequence_batching", "state", at, "initial_state", number, "data_file")
            named.append((path, str(initial.data_file), "initial_state/"))
    for where, text, folder in named:
        climbed = os.path.normpath(f"{folder}{text}") if text else ""
        if climbed == ".." or climbed.startswith("../"):
            refused = where == ("runtime",)
            model.report(
                "SEC002",
                f"{_field(where)} leads out of the model's directory, to {text!r}: "
                + (
                    "Triton refuses the model"
                    if refused
                    else "Triton follows it, and runs or reads what is there"
                ),
                where,
                fix="put the file into the model's directory",
                severity="error" if refused else None,
            )


def _field(where: FieldPath) -> str:
    return str(where[0] if len(where) < 3 else where[-1])


@check("SEC003")
def environment(model: LintedModel) -> None:
    """The Python environment of a Python model: an archive or a folder whose scripts are run."""
    if backend(model) != "python" or _ENVIRONMENT not in model.config.parameters:
        return
    text = str(model.config.parameters[_ENVIRONMENT].string_value)
    where: FieldPath = ("parameters", _ENVIRONMENT)
    inside = text.startswith(_HERE)
    relative = text.removeprefix(_HERE).lstrip("/")
    climbed = os.path.normpath(relative or ".")
    if inside and not (climbed == ".." or climbed.startswith("../")):
        return  # whether it is there is CFG022's
    if text:
        model.report(
            "SEC003",
            f"the Python environment {text!r} is not part of the repository: Triton unpacks it and "
            "runs the scripts and packages in it",
            where,
            fix=f'put it into the model\'s directory:  string_value: "{_HERE}/environment.tar.gz"',
        )
