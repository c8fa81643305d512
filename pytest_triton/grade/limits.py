"""How much a submission may hold, and what its names may be."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from pytest_triton.errors import Refused

#: Directories that tools make and nobody hands in: left out, whatever they hold.
LEFT_OUT = frozenset(
    {".git", ".hg", ".svn", "__pycache__", ".venv", "venv", "node_modules", ".ipynb_checkpoints",
     ".pytest_cache", ".mypy_cache", ".ruff_cache", "__MACOSX", "triton-report"}
)  # fmt: skip
#: Categories of Unicode that no name may have: control, format (direction marks), surrogates,
#: private use, line and paragraph separators.
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one submission; bytes are bytes of content."""

    #: Files and directories, each.
    entries: int = 10_000
    #: Bytes of one file.
    size: int = 16 << 30
    #: Bytes of all files.
    total: int = 32 << 30
    #: Names in a path, and bytes of it.
    depth: int = 16
    path: int = 512
    #: Bytes of an archive of which the content is this many times as large, at most; small
    #: contents are not held against it.
    ratio: int = 200
    ratio_from: int = 256 << 20


class Counted:
    """Adds up one submission, and refuses at the limit. The rule's word comes first."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.entries = self.total = 0
        self._seen: dict[tuple[str, str], str] = {}

    def entry(self, path: str) -> None:
        """One more file or directory, relative to the submission. Raises Refused."""
        check_path(path, self.limits)
        self.entries += 1
        if self.entries > self.limits.entries:
            raise Refused(
                f"{shown(path)}: count: over {self.limits.entries} files and directories",
                "hand in what the lab asks for, without data sets and environments",
            )
        parent, _, name = path.rpartition("/")
        key = (parent, unicodedata.normalize("NFC", name).casefold())
        if (other := self._seen.setdefault(key, path)) != path:
            raise Refused(
                f"{shown(path)}: name: {shown(other)} is the same name on some file systems",
                "rename one of them",
            )
        if len(self._seen) < self.entries:
            raise Refused(f"{shown(path)}: name: comes twice", "hand it in once")

    def size(self, path: str, size: int) -> None:
        """A file's bytes, known or read so far in all. Raises Refused; adds nothing up."""
        if size > self.limits.size:
            raise Refused(
                f"{shown(path)}: size: over {gib(self.limits.size)}",
                "hand in a smaller file, or ask your grader for a larger limit (--max-size)",
            )
        if self.total + size > self.limits.total:
            raise Refused(
                f"{shown(path)}: total size: over {gib(self.limits.total)} with this file",
                "hand in less, or ask your grader for a larger limit (--max-total)",
            )


def check_path(path: str, limits: Limits) -> None:
    """A relative path with ``/`` between its names. Raises Refused for one that is not clean."""
    try:
        length = len(path.encode("utf-8"))
    except UnicodeEncodeError:
        raise Refused(
            f"{shown(path)}: encoding: the name is not UTF-8", "rename it, best in plain ASCII"
        ) from None
    names = path.split("/")
    if any(name in ("", ".", "..") for name in names):
        raise Refused(f"{shown(path)}: path: leads outside or nowhere", "use plain relative paths")
    if length > limits.path or len(names) > limits.depth:
        raise Refused(
            f"{shown(path)}: path: over {limits.path} bytes or {limits.depth} names deep",
            "use shorter names and fewer directories",
        )
    for name in names:
        bad = next((mark for mark in name if unicodedata.category(mark) in _UNSEEN), None)
        bad = bad or ("\\" if "\\" in name else None)
        if bad is not None:
            raise Refused(f"{shown(path)}: name: has the character U+{ord(bad):04X}", "rename it")
        if name != name.strip():
            raise Refused(f"{shown(path)}: name: begins or ends with a blank", "rename it")


def left_out(path: str) -> bool:
    """Whether the last name is one of what tools make."""
    return path.rpartition("/")[2] in LEFT_OUT


def shown(path: str) -> str:
    """A name for a message: printable, and not for ever."""
    text = "".join(mark if mark.isprintable() else f"\\x{ord(mark):02x}" for mark in path[:300])
    return text + ("…" if len(path) > 300 else "")


def gib(size: int) -> str:
    """Bytes for people."""
    return f"{size / 2**30:g} GiB" if size >= 2**30 else f"{size / 2**20:g} MiB"
