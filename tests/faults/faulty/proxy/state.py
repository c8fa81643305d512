"""The rules that hold now, shared by all ports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .rules import Active, rule


class State:
    """Swapped as a whole, so that no request sees half of a change."""

    def __init__(self, kept: Path | None = None) -> None:
        self.rules: tuple[Active, ...] = ()
        self._kept = kept

    def load(self, data: list[dict[str, Any]]) -> None:
        """Take other rules. ValueError says what is wrong with them."""
        self.rules = tuple(Active(rule(item), self.keep) for item in data)

    def told(self) -> list[dict[str, Any]]:
        """What came of each rule."""
        return [
            {
                "matched": one.matched,
                "hits": one.hits,
                "alone": one.alone,
                "errors": one.errors,
            }
            for one in self.rules
        ]

    def keep(self) -> None:
        """Write down what is known by now: nobody may be there to ask at the end."""
        if self._kept:
            self._kept.write_text(json.dumps(self.told()))
