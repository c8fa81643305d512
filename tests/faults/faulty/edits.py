"""Edits that break a model repository, stated as data."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from . import modules


@dataclass(frozen=True)
class Edit:
    """One change of one path below the repository."""

    path: str
    #: Patterns and replacements in its text; each has to be found.
    replace: tuple[tuple[str, str], ...] = ()
    #: Text at its end.
    append: str = ""
    #: Its whole text; the directories above are made.
    text: str | None = None
    delete: bool = False
    #: Another path of the repository that takes its place.
    copy: str = ""
    #: Module of modules.py that is exported to it.
    export: str = ""

    @classmethod
    def read(cls, data: dict[str, Any]) -> Edit:
        """An edit out of TOML; ValueError says what is wrong."""
        if unknown := data.keys() - {item.name for item in fields(cls)}:
            raise ValueError(f"an edit has no {', '.join(sorted(unknown))}")
        values = {
            key: tuple(tuple(pair) for pair in value) if key == "replace" else value
            for key, value in data.items()
        }
        made = cls(**values)
        if made.export and made.export not in modules.MODULES:
            raise ValueError(f"there is no module {made.export!r} in modules.py")
        return made

    def apply(self, repository: Path) -> None:
        """Do it. ValueError when there is nothing to change."""
        path = repository / self.path
        if self.delete:
            if not path.exists():
                raise ValueError(f"{self.path} is not there to be deleted")
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if self.copy:
            source = repository / self.copy
            if path.is_dir():
                shutil.rmtree(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, path) if source.is_dir() else shutil.copyfile(source, path)
        if self.text is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.text)
        if self.export:
            modules.export(self.export, path)
        for pattern, replacement in self.replace:
            before = path.read_text()
            after = re.sub(pattern, replacement, before, flags=re.MULTILINE)
            if after == before:
                raise ValueError(f"{self.path}: {pattern!r} is not there to be replaced")
            path.write_text(after)
        if self.append:
            with path.open("a") as file:
                file.write(self.append)


def break_repository(healthy: Path, destination: Path, edits: tuple[Edit, ...]) -> Path:
    """A copy of a repository with edits."""
    shutil.copytree(healthy, destination, copy_function=shutil.copyfile)
    for edit in edits:
        edit.apply(destination)
    return destination
