"""What is known of a repository before its server starts; imports nothing that costs a boot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: What a shell does not take literally in an unquoted word (found by trying each of them).
_BAD = re.compile(r"[\s&|;()<>\\\"'`$]|\{[^}]*,[^{]*\}|\{[^}]*\.\.[^{]*\}")


@dataclass(frozen=True, slots=True)
class Screened:
    """The outcome for one repository."""

    #: Every model that was asked for, or is there.
    expected: tuple[str, ...]
    #: Those that are safe to load.
    models: tuple[str, ...]
    #: model -> why it is left out.
    failed: Mapping[str, str] = field(default_factory=dict)
    #: Every configuration is whole: auto-complete has nothing to do.
    complete: bool = False
    #: Seconds that the models may take to finish; 0: none of them has anything to finish.
    grace: float = 0.0


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
