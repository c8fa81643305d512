"""The rules that hold now, shared by all ports."""

from __future__ import annotations

from typing import Any

from .rules import Active, rule


class State:
    """Swapped as a whole, so that no request sees half of a change."""

    def __init__(self) -> None:
        self.rules: tuple[Active, ...] = ()

    def load(self, data: list[dict[str, Any]]) -> None:
        """Take other rules. ValueError says what is wrong with them."""
        self.rules = tuple(Active(rule(item)) for item in data)

    def told(self) -> list[dict[str, Any]]:
        """What came of each rule."""
        return [
            {"matched": one.matched, "hits": one.hits, "errors": one.errors} for one in self.rules
        ]
