"""What a script gets of what was handed in: a copy, within bounds."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pytest_triton.errors import ToolError

#: Bytes that are copied, and that a script may write, all together; files that are copied.
MOST_BYTES, MOST_FILES = 64 << 20, 1000
#: Bytes of a file of a model repository that is copied too.
MOST_MODEL = 1 << 20


class TooLarge(ToolError):
    """More was handed in than is copied."""


def copy(source: Path, target: Path) -> frozenset[Path]:
    """Copy regular files; what they are called there. Links are left out, and so are the large
    files of a model repository, which no script needs."""
    total = 0
    repositories = {path.parent.parent for path in source.glob("*/*/config.pbtxt")}
    repositories |= {path.parent.parent for path in source.glob("*/*/*/config.pbtxt")}
    copied: list[Path] = []
    for base, directories, names in os.walk(source):
        directories[:] = sorted(
            name
            for name in directories
            # a scratch directory may lie below what is copied (TMPDIR)
            if not name.startswith(".") and not target.is_relative_to(Path(base) / name)
        )
        into = target / Path(base).relative_to(source)
        into.mkdir(parents=True, exist_ok=True)
        for name in sorted(names):
            path = Path(base) / name
            if path.is_symlink() or not path.is_file():
                continue
            if path.stat().st_size > MOST_MODEL and repositories & set(path.parents):
                continue
            total += path.stat().st_size
            if total > MOST_BYTES or len(copied) >= MOST_FILES:
                raise TooLarge(
                    f"{source} holds over {MOST_BYTES >> 20} MiB or {MOST_FILES} files",
                    "hand in the script and what it needs",
                )
            shutil.copyfile(path, into / name)
            copied.append(into / name)
    return frozenset(copied)


def size(directory: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
