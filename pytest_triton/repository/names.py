"""Names of files and models: which of them hang Triton, and how any of them is shown."""

from __future__ import annotations

import re
from pathlib import Path

#: What a shell does not take literally in an unquoted word (found by trying each of them).
_BAD = re.compile(r"[\s&|;()<>\\\"'`$]|\{[^}]*,[^{]*\}|\{[^}]*\.\.[^{]*\}")
#: Bytes that were no UTF-8 (as os.fsdecode hides them), and what a terminal would obey.
_HIDDEN = re.compile(r"[\udc80-\udcff\x00-\x1f\x7f-\x9f]")


def shell_trap(text: str) -> str:
    """The part of a name or path over which the shell that starts a stub stumbles; or ""."""
    found = _BAD.search(text)
    if found:
        return found[0]
    return "#" if text.startswith("#") else ""


def unsafe(path: Path | str) -> str:
    """What of a path or name a stub cannot be started with: a shell's trap, or not ASCII."""
    text = str(path)
    return shell_trap(text) or next((char for char in text if not char.isascii()), "")


def printable(text: str) -> str:
    """A name as it can be shown anywhere: bytes that are no UTF-8 and controls as ``\\xNN``."""
    return _HIDDEN.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", text)
