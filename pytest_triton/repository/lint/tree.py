"""The files of a model, as far as they are looked at: names and kinds, never contents."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_triton.repository.lint.context import LintedModel

What = Literal["file", "directory", "broken link", "fifo", "socket", "device", "unreadable"]

#: Entries of one model that are looked at; whoever has more has them somewhere below.
MAX_ENTRIES = 5000
#: Folders below the model's own.
_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Item:
    """One name in the directory of a model."""

    #: Below the model's directory, with ``/``.
    relative: str
    path: Path
    #: Of what a link leads to.
    what: What
    link: bool = False
    #: Anybody may write it.
    open_to_all: bool = False

    @property
    def name(self) -> str:
        """Its last part."""
        return self.path.name

    @property
    def folder(self) -> str:
        """The part before the last; empty for what lies beside config.pbtxt."""
        return self.relative.rpartition("/")[0]


def items(model: LintedModel) -> tuple[Item, ...]:
    """What is in the model's directory, its versions and the folders in them; read once."""
    if "tree" not in model.memory:
        found: list[Item] = []
        if model.directory is not None:
            # A link to something that is no model leads anywhere: its files are not ours.
            elsewhere = model.path.is_symlink() and not (model.text or model.directory.versions)
            for item in _below(model.path, "", 0 if elsewhere else _DEPTH):
                found.append(item)
                if len(found) >= MAX_ENTRIES:
                    break
        model.memory["tree"] = tuple(found)
    known: tuple[Item, ...] = model.memory["tree"]
    return known


def item(model: LintedModel, relative: str) -> Item | None:
    """One of them."""
    return next((one for one in items(model) if one.relative == relative), None)


def look(path: Path, relative: str) -> Item:
    """What one path is."""
    try:
        own = path.lstat()
    except OSError:
        return Item(relative, path, "unreadable")
    link = stat.S_ISLNK(own.st_mode)
    try:
        mode = path.stat().st_mode if link else own.st_mode
    except OSError:
        return Item(relative, path, "broken link", True)
    return Item(relative, path, _what(path, mode), link, bool(mode & stat.S_IWOTH) and not link)


def _what(path: Path, mode: int) -> What:
    if stat.S_ISDIR(mode):
        return "directory" if os.access(path, os.R_OK | os.X_OK) else "unreadable"
    if stat.S_ISREG(mode):
        return "file" if os.access(path, os.R_OK) else "unreadable"
    if stat.S_ISFIFO(mode):
        return "fifo"
    return "socket" if stat.S_ISSOCK(mode) else "device"


def _below(folder: Path, relative: str, depth: int) -> Iterator[Item]:
    """Breadth first: what is near counts most. Links to directories are not gone into."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name for _, entry in zip(range(MAX_ENTRIES), entries, strict=False)
            )
    except OSError:
        return
    found = [look(folder / name, f"{relative}{name}") for name in names]
    yield from found
    if depth:
        for one in found:
            if one.what == "directory" and not one.link and not one.name.startswith("."):
                yield from _below(one.path, f"{one.relative}/", depth - 1)
