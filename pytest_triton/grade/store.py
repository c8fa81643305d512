"""Where a submission is copied to: within limits, each file with its checksum."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from pytest_triton.errors import Misused, Refused, ToolError
from pytest_triton.grade.limits import Counted, Limits, left_out, shown
from pytest_triton.handed_in import REPOSITORIES
from pytest_triton.submission_toml import MANIFEST

#: Bytes that are read at once.
CHUNK = 4 << 20
#: Bytes of disk that stay free.
RESERVE = 1 << 30


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its path with ``/``, its bytes, its checksum."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken in. ``left_out``: directories that tools make."""

    files: tuple[Entry, ...]
    left_out: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Of the whole: sha256 of what sha256sum prints for the files in order of their paths."""
        text = "".join(f"{entry.sha256}  {entry.path}\n" for entry in self.files)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files)

    def write(self, path: Path) -> None:
        """As JSON."""
        told = {
            "schema_version": "1.0", "sha256": self.digest, "bytes": self.size,
            "files": [asdict(entry) for entry in self.files], "left_out": list(self.left_out),
        }  # fmt: skip
        path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")


class Reader(Protocol):
    """Bytes that come one buffer after the other."""

    def readinto(self, buffer: memoryview, /) -> int | None: ...


class Store:
    """The directory that a submission is copied to; ``None``: it is only looked at."""

    def __init__(self, target: Path | None, limits: Limits) -> None:
        self.counted = Counted(limits)
        self._root = target
        self._buffer = memoryview(bytearray(CHUNK))
        self._files: list[Entry] = []
        self._made: list[str] = []
        self._left: list[str] = []
        if target is not None:
            try:
                target.mkdir(parents=True)
            except FileExistsError:
                raise Misused(f"{target} is there already", "name a new directory") from None

    def leave_out(self, path: str) -> bool:
        """Whether this directory is not taken; it is then listed."""
        if left_out(path):
            self._left.append(path)
            return True
        return False

    def directory(self, path: str) -> None:
        """A directory of the submission. Raises Refused."""
        self.counted.entry(path)
        self._made.append(path)
        if self._root is not None:
            (self._root / path).mkdir()

    def file(self, path: str, source: Reader, said: int) -> None:
        """A file of ``said`` bytes. Raises Refused, and ToolError where the disk is full."""
        self.counted.entry(path)
        self.counted.size(path, said)
        self._room(said)
        digest, size = hashlib.sha256(), 0
        with self._opened(path) as target:
            while count := source.readinto(self._buffer):
                size += count
                if size > said:  # before more is written than there was room for
                    self.counted.size(path, size)
                    raise Refused(f"{shown(path)}: size: grows while it is read", "close it first")
                piece = self._buffer[:count]
                digest.update(piece)
                while target >= 0 and piece:
                    piece = piece[_write(target, piece) :]
        if size != said:
            raise Refused(f"{shown(path)}: size: changes while it is read", "close it first")
        self.counted.total += size
        self._files.append(Entry(path, size, digest.hexdigest()))

    def hoist(self) -> None:
        """Take off a directory around everything, as archives have it: one that holds a
        repository or a manifest where the submission itself has nothing."""
        tops = {path.partition("/")[0] for path in (*self._made, *(e.path for e in self._files))}
        top = next(iter(tops), "")
        known = {f"{top}/{name}" for name in (*REPOSITORIES, MANIFEST)}
        if len(tops) != 1 or top in REPOSITORIES:
            return
        if not known & {*self._made, *(entry.path for entry in self._files)}:
            return
        cut = len(top) + 1
        self._files = [replace(entry, path=entry.path[cut:]) for entry in self._files]
        self._left = [path[cut:] for path in self._left]
        if self._root is not None:
            aside = self._root.with_name(f"{self._root.name}.outer")
            self._root.rename(aside)
            (aside / top).rename(self._root)
            aside.rmdir()

    def clone(self, path: str, source: int, said: int) -> None:
        """As :meth:`file`, of an open one: the file system may share what two files have alike.

        The checksum is of the copy, which nobody else can change.
        """
        if self._root is None:
            with open(source, "rb", buffering=0, closefd=False) as file:
                self.file(path, file, said)
            return
        self.counted.entry(path)
        self.counted.size(path, said)
        self._room(said)
        with self._opened(path) as target:
            if not _cloned(source, target, said):
                os.lseek(source, 0, os.SEEK_SET)
                os.ftruncate(target, 0)
                self._pump(path, source, target, said)
            if os.fstat(target).st_size != said or os.fstat(source).st_size != said:
                raise Refused(f"{shown(path)}: size: changes while it is read", "close it first")
            os.lseek(target, 0, os.SEEK_SET)
            digest = hashlib.sha256()
            while count := os.readv(target, [self._buffer]):
                digest.update(self._buffer[:count])
        self.counted.total += said
        self._files.append(Entry(path, said, digest.hexdigest()))

    def _pump(self, path: str, source: int, target: int, said: int) -> None:
        left = said
        while left > 0 and (count := os.readv(source, [self._buffer[: min(left, CHUNK)]])):
            left -= count
            piece = self._buffer[:count]
            while piece:
                piece = piece[_write(target, piece) :]

    def taken(self) -> Taken:
        """All of it, in order of the paths. Raises Refused for nothing at all."""
        if not self._files:
            raise Refused(
                "the submission: count: holds no file", "see docs/reference/submission.md"
            )
        files = sorted(self._files, key=lambda entry: entry.path.encode())
        return Taken(tuple(files), tuple(sorted(self._left)))

    def _room(self, size: int) -> None:
        if self._root is not None and shutil.disk_usage(self._root).free < size + RESERVE:
            raise ToolError(f"{self._root}: the disk is full", "free some, or name another --out")

    @contextmanager
    def _opened(self, path: str) -> Iterator[int]:
        if self._root is None:
            yield -1
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._root / path, flags, 0o644)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _cloned(source: int, target: int, size: int) -> bool:
    """Whether the kernel could copy so many bytes."""
    left = size
    try:
        while left > 0 and (count := os.copy_file_range(source, target, left)):
            left -= count
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise ToolError(f"cannot be copied: {error.strerror}", "name another --out") from None
        return False  # over two file systems, or one that cannot
    return left == 0


def _write(target: int, piece: memoryview) -> int:
    try:
        return os.write(target, piece)
    except OSError as error:
        raise ToolError(f"cannot be copied: {error.strerror}", "name another --out") from None
