"""The records of a zip archive, as torch finds them, without trust in what the archive says."""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import IO

#: Bytes of a central directory that are read; large models have some hundred kB.
MAX_DIRECTORY_BYTES = 8 * 1024 * 1024
#: Methods that torch writes and reads; the others would also unpack without a bound.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_END = struct.Struct("<4s4H2LH")
_END64_PLACE = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_BROKEN = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, EOFError, ValueError,
    NotImplementedError, RuntimeError, OverflowError, IndexError,
)  # fmt: skip


class BrokenArchive(Exception):
    """An archive that cannot be read; the text says why."""


class Records:
    """A zip archive whose records are read up to a limit."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        """Reads the central directory alone. Raises BrokenArchive."""
        _check_directory(file, size)
        try:
            self._zip = zipfile.ZipFile(file)
        except _BROKEN as error:
            raise BrokenArchive(_short(error)) from None
        entries = self._zip.infolist()
        first = entries[0].filename if entries else ""
        root, slash, _ = first.partition("/")
        #: torch looks below the folder of the first record only.
        self.root = root + slash if slash else ""
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            name = entry.filename
            if name.startswith(self.root):
                self._entries.setdefault(name[len(self.root) :], entry)

    @property
    def names(self) -> list[str]:
        """Names below the root folder."""
        return list(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def size(self, name: str) -> int:
        """The size that the directory claims for a record."""
        return self._entries[name].file_size

    def read(self, name: str, limit: int) -> bytes:
        """The first ``limit`` bytes of a record. Raises BrokenArchive."""
        entry = self._entries.get(name)
        if entry is None:
            raise BrokenArchive(f"the record {name!r} is missing")
        if entry.compress_type not in _METHODS:
            raise BrokenArchive(f"the record {name!r} is packed in a way that torch cannot read")
        try:
            with self._zip.open(entry) as record:
                return record.read(limit)
        except _BROKEN as error:
            raise BrokenArchive(f"the record {name!r} is damaged: {_short(error)}") from None


def _check_directory(file: IO[bytes], size: int) -> None:
    """A directory of any size must not get as far as zipfile, which reads all of it."""
    tail_at = max(0, size - 65557)
    file.seek(tail_at)
    tail = file.read(65557)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise BrokenArchive("it ends before the directory of its records: the file is truncated")
    _, _, _, _, _, length, offset, _ = _END.unpack_from(tail, at)
    if 0xFFFFFFFF in (length, offset):
        place = at - _END64_PLACE.size
        if place >= 0 and tail[place : place + 4] == b"PK\6\7":
            file.seek(min(_END64_PLACE.unpack_from(tail, place)[2], size))
            head = file.read(_END64.size)
            if len(head) == _END64.size and head[:4] == b"PK\6\6":
                length, offset = _END64.unpack(head)[-2:]
    if length > size or offset > size:
        raise BrokenArchive("the directory of its records lies outside of the file")
    if length > MAX_DIRECTORY_BYTES:
        raise BrokenArchive(
            f"the directory of its records has {length} bytes; more than {MAX_DIRECTORY_BYTES} "
            "are not looked at"
        )


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__
