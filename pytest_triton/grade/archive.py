"""A submission that comes as a zip or a tar: unpacked member by member, nothing taken on trust."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

from pytest_triton.errors import Refused
from pytest_triton.grade.limits import left_out, shown
from pytest_triton.grade.store import Reader, Store

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz")
#: Bytes of a zip's directory, and of all headers of a tar: they are read into memory.
_MOST_DIRECTORY = _MOST_HEADERS = 32 << 20
#: Bytes before a position of a tar that can be gone back to.
_BACK = 512
_BROKEN = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError,
    ValueError, RuntimeError, NotImplementedError, OverflowError, UnicodeError,
)  # fmt: skip
_STREAMS: tuple[tuple[bytes, Any], ...] = (
    (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file, mode="rb")),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ", lzma.LZMAFile),
)


def unpack(source: Path, store: Store) -> None:
    """Hand every file of an archive to ``store``.

    Raises Refused: no archive, a broken one, members that are no regular files, a bomb.
    """
    descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        seen = os.fstat(file.fileno())
        if not stat.S_ISREG(seen.st_mode):
            raise Refused(f"{shown(source.name)}: kind: no archive", "hand in a directory")
        try:
            unpacked = _Unpacked(store, source.name, seen.st_size)
            if zipfile.is_zipfile(file):
                _zip(file, unpacked)
            else:
                _tar(file, unpacked)
        except _BROKEN as error:
            raise Refused(
                f"{shown(source.name)}: archive: cannot be read: {shown(str(error))}",
                f"hand in a directory, or a whole {', '.join(SUFFIXES)}",
            ) from None


class _Unpacked:
    """Where members go: directories that none of them names are made, bombs are seen."""

    def __init__(self, store: Store, name: str, packed: int) -> None:
        self.store, self.name, self.packed = store, name, packed
        self._made: set[str] = set()
        self._skipped: set[str] = set()

    def takes(self, path: str, *, directory: bool) -> bool:
        """Make the directories of a member; False where they are left out."""
        parts = path.split("/")
        for count in range(1, len(parts) + directory):
            parent = "/".join(parts[:count])
            if parent in self._skipped:
                return False
            if parent in self._made:
                continue
            if left_out(parent):
                self.store.leave_out(parent)
                self._skipped.add(parent)
                return False
            self.store.directory(parent)
            self._made.add(parent)
        return not directory

    def file(self, path: str, reader: Reader, size: int) -> None:
        """One file. Raises Refused for a content that is out of all proportion."""
        limits = self.store.counted.limits
        whole = self.store.counted.total + size
        if whole > max(limits.ratio_from, limits.ratio * self.packed):
            raise Refused(
                f"{shown(path)}: archive: holds over {limits.ratio} times its own size",
                "hand in a directory",
            )
        self.store.file(path, reader, size)


def _zip(file: IO[bytes], unpacked: _Unpacked) -> None:
    # zipfile reads the whole directory at once: first what it says of its own size.
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    limits = unpacked.store.counted.limits
    if end is None or end[5] > _MOST_DIRECTORY or end[4] > limits.entries:
        raise Refused(
            f"{shown(unpacked.name)}: count: over {limits.entries} members",
            "hand in what the lab asks for, without data sets and environments",
        )
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            name = info.orig_filename
            mode = info.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                what = "a link" if stat.S_ISLNK(mode) else "a special file"
                raise Refused(
                    f"{shown(name)}: kind: {what}, not a regular file", "hand in the file itself"
                )
            if info.flag_bits & 1:
                raise Refused(f"{shown(name)}: archive: encrypted", "hand it in without password")
            path = name[:-1] if name.endswith("/") else name
            if unpacked.takes(path, directory=info.is_dir()):
                with archive.open(info) as reader:
                    unpacked.file(path, reader, info.file_size)  # type: ignore[arg-type]


def _tar(file: IO[bytes], unpacked: _Unpacked) -> None:
    file.seek(0)
    start = file.read(6)
    file.seek(0)
    opener = next((kind for magic, kind in _STREAMS if start.startswith(magic)), None)
    most = unpacked.store.counted.limits.total + _MOST_HEADERS
    forward: Any = _Forward(opener(file) if opener else file, most)
    with tarfile.open(fileobj=forward, mode="r:") as archive:
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # a tar of very many would be kept in memory
            path = member.name.removeprefix("./")
            if path in ("", ".") and member.isdir():
                continue
            if not (member.isdir() or member.isreg()) or member.issparse():
                what = "a link" if member.issym() or member.islnk() else "a special file"
                raise Refused(
                    f"{shown(path)}: kind: {what}, not a regular file", "hand in the file itself"
                )
            if unpacked.takes(path, directory=member.isdir()):
                unpacked.file(path, _Member(forward, member.size), member.size)


class _Forward:
    """A stream that tarfile believes to be a file: it only ever goes on, and never far."""

    def __init__(self, stream: Any, most: int) -> None:
        self._stream, self._most = stream, most
        self._at = 0  # of the stream; the position asked for is behind it by _behind
        self._behind = 0
        self._tail = b""
        self._headers = _MOST_HEADERS

    def tell(self) -> int:
        return self._at - self._behind

    def seek(self, position: int, whence: int = 0) -> int:
        if whence or self._at - position > len(self._tail) or position > self._most:
            raise ValueError("it leads nowhere")
        self._behind = max(0, self._at - position)
        while self._at < position:
            if not self._forward(min(1 << 20, position - self._at)):
                raise EOFError("it ends early")
        return position

    def read(self, count: int) -> bytes:
        """A header, or what belongs to one: it stays in memory."""
        self._headers -= count
        if count < 0 or self._headers < 0:
            raise ValueError("its headers are too large")
        return self.content(count)

    def content(self, count: int) -> bytes:
        """Bytes of a file."""
        found = b""
        if self._behind:
            start = len(self._tail) - self._behind
            found = self._tail[start : start + count]
            self._behind -= len(found)
        while len(found) < count and (piece := self._forward(count - len(found))):
            found = found + piece if found else piece
        return found

    def _forward(self, count: int) -> bytes:
        piece = bytes(self._stream.read(count))
        self._at += len(piece)
        self._tail = (self._tail + piece[-_BACK:])[-_BACK:]
        return piece


class _Member:
    """The bytes of one file of a tar."""

    def __init__(self, forward: _Forward, size: int) -> None:
        self._forward, self._left = forward, size

    def readinto(self, buffer: memoryview, /) -> int:
        piece = self._forward.content(min(len(buffer), self._left))
        buffer[: len(piece)] = piece
        self._left -= len(piece)
        return len(piece)
