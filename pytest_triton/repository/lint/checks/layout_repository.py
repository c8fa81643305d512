"""Rules LAY010 to LAY015: directories of a repository that are no models, and names that hang."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pytest_triton.repository.config import CONFIG_NAME
from pytest_triton.repository.lint.backends import backend
from pytest_triton.repository.lint.checks.layout_versions import meant_version
from pytest_triton.repository.lint.context import LintedModel, LintedRepository
from pytest_triton.repository.lint.registry import check, check_repository
from pytest_triton.repository.lint.tree import MAX_ENTRIES, items, look
from pytest_triton.repository.names import unsafe

_MODEL_FILE = re.compile(r".*\.(?:pt|pth|onnx|plan|engine|graphdef|pt2|safetensors)|model\.py")
#: What a URL does not carry as it is, and Triton does not decode.
_ENCODED = re.compile(r"[^A-Za-z0-9._~!$&'()*+,;=:@-]")


@check("LAY010", "LAY011", needs_config=False)
def no_model(model: LintedModel) -> None:
    """To Triton, every directory of a repository is a model."""
    directory, repository = model.directory, model.repository
    if directory is None or repository is None or not repository.whole or directory.unreadable:
        return
    entries = [one for one in items(model) if not one.folder]
    if any(one.name == CONFIG_NAME for one in entries) or directory.versions:
        return
    inner = [
        one.name for one in entries
        if one.what == "directory" and os.path.lexists(one.path / CONFIG_NAME)
    ]  # fmt: skip
    if inner:
        model.report(
            "LAY011",
            f"a repository inside of the repository (it holds the model {inner[0]!r}): Triton "
            "looks one level deep, and fails on this directory",
            file=".",
            fix="move the models up, or give Triton this directory as a second --model-repository",
        )
        return
    if meant_version(model) is not None:
        return  # LAY001
    model.report(
        "LAY010",
        "no model: it has neither config.pbtxt nor a version directory; Triton polls every "
        "directory, fails on this one and, with its defaults, does not start",
        file=".",
        fix="move it out of the repository",
    )


@check("LAY012", "LAY013", needs_config=False)
def name(model: LintedModel) -> None:
    """Names of directories that a shell, a URL or JSON breaks on."""
    if model.directory is None:
        return
    text = model.name
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        model.report(
            "LAY013",
            "the directory's name is not UTF-8: Triton copies its bytes into the index of the "
            "repository, which is no JSON then for anybody",
            file=".",
            fix="rename it: letters, digits, _ and - are safe",
        )
        return
    trap = unsafe(text)
    found = backend(model)
    if trap and found in ("python", "pytorch"):
        model.report(
            "LAY012",
            f"the character {trap!r} in the name breaks the command that starts a Python process: "
            + (
                "Triton hangs for ever, with all ports closed"
                if found == "python"
                else "a Triton with a Python-based pytorch backend hangs"
            ),
            file=".",
            fix="rename it: letters, digits, _ and - are safe",
            severity="error" if found == "python" else "warning",
        )
    elif encoded := _ENCODED.search(text):
        model.report(
            "LAY012",
            f"the character {encoded[0]!r} in the name has to be encoded in a URL, and Triton does "
            "not decode it: over HTTP the model cannot be reached",
            file=".",
            fix="rename it: letters, digits, _ and - are safe",
            severity="warning",
        )


@check_repository("LAY014", "LAY015")
def root(repository: LintedRepository) -> None:
    """Files beside the models."""
    if not repository.whole:
        return
    try:
        names = sorted(os.listdir(repository.path))[:MAX_ENTRIES]
    except OSError:
        return
    for file in names:
        one = look(Path(repository.path) / file, file)
        if one.what == "broken link":
            repository.report(
                "LAY014",
                "a link that leads nowhere: Triton cannot poll the repository, and does not start",
                file,
                fix="delete it",
            )
        elif file == CONFIG_NAME:
            repository.report(
                "LAY015",
                "a config.pbtxt beside the models belongs to none of them: Triton does not read it",
                file,
                fix="move it into the directory of its model",
            )
        elif one.what == "file" and _MODEL_FILE.fullmatch(file):
            repository.report(
                "LAY015",
                "a model's file beside the models: Triton does not read it",
                file,
                fix=f"move it to NAME/1/{file}",
            )
