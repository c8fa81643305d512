"""A model repository on disk: its models, their versions, its checksum."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.repository.config import CONFIG_NAME

#: Directories of a model that Triton reads but that are no versions.
_RESERVED = frozenset({"warmup", "initial_state", "configs"})
#: What C's ``stoll`` reads, which Triton asks: the beginning counts, the rest is dropped.
_NUMBER = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class ModelDirectory:
    """One directory of a repository: to Triton, every directory is a model."""

    name: str
    path: Path
    #: As Triton counts them: also of a name that only begins with a number (see ``misread``).
    versions: tuple[int, ...]
    #: Directories that Triton ignores as versions, with the reason.
    ignored: tuple[tuple[str, str], ...]
    #: "2_old" counts as version 2, and is then looked for in a directory "2".
    misread: tuple[tuple[str, int], ...] = ()
    #: Why it cannot be listed; empty when it can.
    unreadable: str = ""

    @property
    def config_path(self) -> Path:
        """Where config.pbtxt is or would be."""
        return self.path / CONFIG_NAME

    def version_path(self, version: int) -> Path:
        """The directory of one version."""
        return self.path / str(version)


def list_models(repository: Path | str) -> tuple[ModelDirectory, ...]:
    """Every directory that Triton would poll as a model, hidden ones too, by name."""
    found = []
    with os.scandir(repository) as entries:
        for entry in entries:
            if is_directory(entry):
                found.append(model_directory(Path(entry.path)))
    return tuple(sorted(found, key=lambda model: model.name))


def model_directory(path: Path) -> ModelDirectory:
    """The versions of one model: numeric names without a leading zero. Never raises OSError."""
    versions: set[int] = set()
    ignored: list[tuple[str, str]] = []
    misread: list[tuple[str, int]] = []
    try:
        entries = list(os.scandir(path))
    except OSError as error:
        return ModelDirectory(path.name, path, (), (), unreadable=error.strerror or str(error))
    for entry in entries:
        if not is_directory(entry) or entry.name in _RESERVED:
            continue
        name, number = entry.name, _NUMBER.match(entry.name)
        if len(name) > 1 and name.startswith("0"):
            ignored.append((name, "leading zero"))
        elif number is None:
            ignored.append((name, "not a number"))
        else:
            versions.add(int(number[0]))
            if not is_version(name):
                misread.append((name, int(number[0])))
    return ModelDirectory(
        path.name, path, tuple(sorted(versions)), tuple(sorted(ignored)), tuple(sorted(misread))
    )


def is_version(name: str) -> bool:
    """Whether a directory of this name is a version, and the one that its name says."""
    return name.isascii() and name.isdigit() and (name == "0" or not name.startswith("0"))


def is_directory(entry: os.DirEntry[str]) -> bool:
    """Also a link to one; a link that turns in a circle is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def repository_sha256(repository: Path | str) -> str:
    """A checksum of a tree: relative paths and contents, in order; times and modes do not count.

    Symbolic links count by their target's text and are not followed.
    """
    root = Path(repository)
    digest = hashlib.sha256()
    for path in walk(root):
        name = path.relative_to(root).as_posix().encode("utf-8", "surrogateescape")
        if path.is_symlink():
            kind, content = b"l", hashlib.sha256(os.fsencode(os.readlink(path))).digest()
        elif path.is_dir():
            kind, content = b"d", b""
        else:
            kind, content = b"f", file_sha256(path)
        digest.update(kind + len(name).to_bytes(4, "little") + name + content)
    return digest.hexdigest()


def walk(root: Path) -> Iterator[Path]:
    """Everything below ``root`` in a fixed order, without following links; no fifos or devices."""
    for path in sorted(root.iterdir(), key=lambda item: os.fsencode(item.name)):
        if path.is_symlink() or path.is_file():
            yield path
        elif path.is_dir():
            yield path
            yield from walk(path)


def file_sha256(path: Path) -> bytes:
    """The digest of a file, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.digest()
