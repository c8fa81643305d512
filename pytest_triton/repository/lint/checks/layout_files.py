"""Rules LAY006 to LAY009 and LAY016: files of a model that cannot be read or do not belong."""

from __future__ import annotations

import re

from pytest_triton.repository.config import CONFIG_NAME
from pytest_triton.repository.lint.backends import COMPLETING, backend, completes
from pytest_triton.repository.lint.checks.layout_versions import wanted_files
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.finding import Severity
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.lint.tree import Item, items

#: What people and editors make of config.pbtxt.
_MISNAMED = re.compile(
    r"config\.pbtxt[.~].*|config\.(?:pbtext|pb|prototxt|protobuf|txt|pbtx|pbtxtt)|"
    r"conf(?:ig)?s?\.pbtxt|model_config\.pbtxt",
    re.IGNORECASE,
)
_BACKUP = re.compile(r"config\.pbtxt(?:~|\.(?:bak|old|orig|save|sw[po]|template|example|in|j2))")
_LEFT = re.compile(
    r"\.ipynb_checkpoints|__pycache__|\.DS_Store|\.git|\.svn|\.idea|\.vscode|Thumbs\.db|"
    r".*\.(?:swp|swo|orig|rej|part|crdownload|tmp)"
)


@check("LAY006", "LAY007", needs_config=False)
def odd_files(model: LintedModel) -> None:
    """Links that lead nowhere, fifos, and what this user may not read."""
    directory = model.directory
    if directory is None:
        return
    if directory.unreadable:
        model.report(
            "LAY007",
            f"the directory cannot be listed ({directory.unreadable}): the same user's Triton "
            "fails on it",
            file=".",
            fix="give the user that runs Triton the right to read and enter it",
        )
    wanted = wanted_files(model)
    for one in items(model):
        if one.relative == CONFIG_NAME:
            continue  # CFG001
        used = one.name in wanted and bool(one.folder)
        if one.what == "broken link":
            if used:
                continue  # LAY002
            near = not one.folder
            model.report(
                "LAY006",
                "a link that leads nowhere"
                + (": Triton stops at it and leaves the model out" if near else ""),
                file=one.relative,
                fix="delete it, or copy the file that it was meant for",
                severity="error" if near else "warning",
            )
        elif one.what in ("fifo", "socket", "device"):
            hangs = used and one.what == "fifo"
            model.report(
                "LAY006",
                f"a {one.what}"
                + (
                    ": Triton waits for its other end for ever" if hangs else ", where files belong"
                ),
                file=one.relative,
                fix="delete it",
                severity="error" if used else "warning",
            )
        elif one.what == "unreadable":
            model.report(
                "LAY007",
                "cannot be read by this user: the same user's Triton fails on it",
                file=one.relative,
                fix="give the user that runs Triton the right to read it",
                severity="error" if used or _is_version(model, one) else "warning",
            )


def _is_version(model: LintedModel, one: Item) -> bool:
    versions = model.directory.versions if model.directory else ()
    return not one.folder and one.name in map(str, versions)


@check("LAY008", "LAY009", needs_config=False)
def configuration(model: LintedModel) -> None:
    """A configuration under another name, or in another place."""
    if model.directory is None or model.directory.unreadable:
        return
    there = any(one.relative == CONFIG_NAME for one in items(model))
    others = [one for one in items(model) if one.what == "file" and not one.folder
              and _MISNAMED.fullmatch(one.name) and one.name != CONFIG_NAME]  # fmt: skip
    inside = [one for one in items(model) if one.name == CONFIG_NAME and one.folder.isdigit()]
    does, severity = ("", "warning") if there else _without(model)
    for one in inside:
        model.report(
            "LAY009",
            f"Triton reads config.pbtxt only in the model's directory, not in a version's{does}",
            file=one.relative,
            fix="delete it" if there else f"move it up, beside {one.folder}/",
            severity=severity or "warning",
        )
    for one in others:
        if not there or not _BACKUP.fullmatch(one.name):
            model.report(
                "LAY009",
                f"Triton does not read {one.name!r}, only config.pbtxt"
                + (", which is there as well" if there else does),
                file=one.relative,
                fix="delete it" if there else "rename it to config.pbtxt",
                severity=severity or "warning",
            )
    if not there and not inside and not others and severity is not None:
        model.report(
            "LAY008",
            f"no config.pbtxt{does}",
            file=".",
            fix="write config.pbtxt with platform or backend, input and output",
            severity=severity,
        )


def _without(model: LintedModel) -> tuple[str, Severity | None]:
    """What becomes of a model that has no configuration, and how bad that is."""
    found = backend(model)
    if not model.directory or not model.directory.versions:
        return "", None
    if found == "pytorch":
        return (
            ": a TorchScript file does not tell its inputs and outputs, and Triton refuses the "
            "model",
            "error",
        )
    if found == "python":
        if completes(model) is not False:
            return ": the model's auto_complete_config has to write all of it", "info"
        return ": Triton serves the model without inputs and outputs", "warning"
    if found in COMPLETING:
        return ": the backend completes it, with defaults for batching and instances", "info"
    if not found and "." not in model.name and _listable(model):
        return ": nothing tells the backend, and Triton refuses the model", "error"
    return "", None


def _listable(model: LintedModel) -> bool:
    return not any(one.what == "unreadable" and _is_version(model, one) for one in items(model))


@check("LAY016", needs_config=False)
def leftovers(model: LintedModel) -> None:
    """What editors, notebooks and version control leave behind."""
    for one in items(model):
        if _LEFT.fullmatch(one.name) and one.what in ("file", "directory"):
            model.report(
                "LAY016",
                f"{one.name} does not belong into a model repository; Triton ignores it",
                file=one.relative,
                fix="delete it",
            )
