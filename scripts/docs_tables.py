"""Pieces of Markdown that every generated page is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown; cells may hold Markdown, bars are escaped."""
    lines = [list(head), ["---"] * len(head), *([*row] for row in rows)]
    escaped = ([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in lines)
    return "".join(f"| {' | '.join(row)} |\n" for row in escaped)


def code(text: str) -> str:
    return f"`{text}`" if text else ""
