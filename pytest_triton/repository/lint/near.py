"""The name that somebody could have meant, for a bounded time."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from pytest_triton.repository.lint.context import LintedModel

#: Names that are looked at for one suggestion, and suggestions for one model: comparing each
#: of thousands of names with each other would take hours.
_CHOICES, _SUGGESTIONS = 200, 50
_LONGEST = 200


def nearest(model: LintedModel, name: str, choices: Collection[str], cutoff: float = 0.7) -> str:
    """The most similar of the choices; empty when none is similar."""
    asked = model.memory.setdefault("suggestions", 0)
    if asked >= _SUGGESTIONS or len(choices) > _CHOICES or len(name) > _LONGEST:
        return ""
    model.memory["suggestions"] = asked + 1
    short = [choice for choice in choices if len(choice) <= _LONGEST]
    return next(iter(difflib.get_close_matches(name, short, n=1, cutoff=cutoff)), "")


def quoted(name: str) -> str:
    """A name as config.pbtxt writes it."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
