"""Rules SEC004 to SEC006: code in a repository that runs where nobody expects it."""

from __future__ import annotations

import re

from pytest_triton.repository.lint import torchscript as torch
from pytest_triton.repository.lint.backends import backend
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.lint.tree import items

_LIBRARY = re.compile(r"libtriton_(.+)\.so")
_ANY_LIBRARY = re.compile(r".*\.(?:so(?:\.\d+)*|dll|dylib)")


@check("SEC004", needs_config=False)
def libraries(model: LintedModel) -> None:
    """A backend's library beside the model goes before the one of the server."""
    own = backend(model)
    for one in items(model):
        if one.what != "file" or not _ANY_LIBRARY.fullmatch(one.name):
            continue
        found = _LIBRARY.fullmatch(one.name)
        if found and (found[1] == own or one.name == model.config.runtime):
            model.report(
                "SEC004",
                f"Triton loads {one.name} out of the model's directory, before its own backends: "
                "this code runs inside of the server",
                file=one.relative,
                fix="install the backend in the server's backend directory, and delete the file",
            )
        else:
            model.report(
                "SEC004",
                "a shared library: it runs inside of the server if something loads it",
                file=one.relative,
                fix="keep libraries out of the repository where you can",
                severity="info",
            )


@check("SEC005")
def torchscript(model: LintedModel) -> None:
    """TorchScript that opens files or the network; torch runs it without asking."""
    for export in torch.exports(model):
        found = export.archive.hostile
        acts = [name for name in found if name != "__setstate__"]
        if acts:
            when = "when the model is loaded" if "__setstate__" in found else "at a request"
            what = "opens the network" if any(name.startswith("rpc") for name in acts) else (
                "reads or writes files of the server by name"
            )  # fmt: skip
            model.report(
                "SEC005",
                f"the code calls {', '.join(acts)}: it {what}, {when}",
                file=export.relative,
                fix="do not serve it unless you trust its author",
            )
        elif found:
            model.report(
                "SEC005",
                "the code has __setstate__, which runs when the model is loaded",
                file=export.relative,
                severity="info",
            )


@check("SEC006", needs_config=False)
def open_to_all(model: LintedModel) -> None:
    """Files that anybody on the machine may change."""
    found = [one.relative for one in items(model) if one.open_to_all]
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        model.report(
            "SEC006",
            f"anybody on this machine may change it{more}: what is here is run by the server",
            file=found[0],
            fix="chmod -R o-w",
        )
