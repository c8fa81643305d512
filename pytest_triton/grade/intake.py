"""What was handed in, copied: regular files only, within limits, each with its checksum.

The source belongs to somebody else, who may change it while it is read. So every directory and
file is opened below the one before it, never by a path, no link is followed, and what counts is
what an open descriptor says.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from pytest_triton.errors import Misused, Refused, ToolError
from pytest_triton.grade.limits import Limits, shown
from pytest_triton.grade.store import Store, Taken

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Opening a fifo or a device does not wait for anybody.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_KINDS = (
    (stat.S_ISLNK, "a link", "hand in the file itself"),
    (stat.S_ISFIFO, "a fifo", "leave it out"),
    (stat.S_ISSOCK, "a socket", "leave it out"),
    (stat.S_ISBLK, "a device", "leave it out"),
    (stat.S_ISCHR, "a device", "leave it out"),
)


def take_in(source: Path, target: Path | None, limits: Limits | None = None) -> Taken:
    """Copy a directory or an archive to ``target``, a new directory (None: look at it only).

    Raises Refused with the file and the rule, Misused for a source that is not there, ToolError
    for a disk that is full. What was copied before that stays for the caller to remove.
    """
    store = Store(target, limits or Limits())
    try:
        kind = os.stat(source)  # the grader's own word may be a link
    except OSError as error:
        raise Misused(f"{source}: {error.strerror}", "name a directory or an archive") from None
    if stat.S_ISDIR(kind.st_mode):
        descriptor = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _walk(store, descriptor, "")
        finally:
            os.close(descriptor)
    else:
        from pytest_triton.grade.archive import unpack

        unpack(source, store)
    store.hoist()
    return store.taken()


def _walk(store: Store, directory: int, base: str) -> None:
    with os.scandir(directory) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        path = f"{base}{name}"
        try:
            seen = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISDIR(seen.st_mode):
                if store.leave_out(path):
                    continue
                store.directory(path)
                _below(store, directory, name, path)
            else:
                refuse_kind(path, seen)
                _copy(store, directory, name, path)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOENT, errno.ENOTDIR):
                raise Refused(
                    f"{shown(path)}: changes while it is read", "hand it in at rest"
                ) from None
            if error.errno in (errno.EACCES, errno.EPERM):
                raise Refused(f"{shown(path)}: cannot be read", "make it readable") from None
            raise ToolError(f"{shown(path)}: {error.strerror}", "look at the disk") from None


def _below(store: Store, directory: int, name: str, path: str) -> None:
    descriptor = os.open(name, _DIRECTORY, dir_fd=directory)
    try:
        _walk(store, descriptor, f"{path}/")
    finally:
        os.close(descriptor)


def _copy(store: Store, directory: int, name: str, path: str) -> None:
    with open(os.open(name, _FILE, dir_fd=directory), "rb", buffering=0) as file:
        seen = os.fstat(file.fileno())
        refuse_kind(path, seen)
        if seen.st_nlink > 1:
            raise Refused(
                f"{shown(path)}: kind: has {seen.st_nlink} names (hard links)",
                "hand in a copy: cp -r SUBMISSION COPY",
            )
        store.clone(path, file.fileno(), seen.st_size)


def refuse_kind(path: str, seen: os.stat_result) -> None:
    """Raise Refused for what is no regular file."""
    for test, what, remedy in _KINDS:
        if test(seen.st_mode):
            raise Refused(f"{shown(path)}: kind: {what}, not a regular file", remedy)
    if not stat.S_ISREG(seen.st_mode):
        raise Refused(f"{shown(path)}: kind: not a regular file", "leave it out")
