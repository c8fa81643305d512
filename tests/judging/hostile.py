"""Nonsense in place of every part of a JSON document, one part at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

#: What no part of a protocol's answer is ready for.
NONSENSE: tuple[Any, ...] = (
    None, True, -1, 7, 2.5, float("nan"), float("inf"), 10**30, "x", "5", "", [], {}, [None],
    [[1]], {"a": None}, [{}],
)  # fmt: skip
GONE = object()

Path = tuple[Any, ...]


def parts(document: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every part, the whole first; of equal neighbours in an array the first two."""
    yield path
    if isinstance(document, dict):
        for key, value in document.items():
            yield from parts(value, (*path, key))
    elif isinstance(document, list):
        for at, value in enumerate(document[:2]):
            yield from parts(value, (*path, at))


def spoiled(document: Any, path: Path, value: Any) -> Any:
    """A copy with ``value`` at ``path`` (GONE: without that part); the document if it has none."""
    if not path:
        return document if value is GONE else value
    made = copy.deepcopy(document)
    place = made
    try:
        for key in path[:-1]:
            place = place[key]
        place[path[-1]]
    except (KeyError, IndexError, TypeError):
        return document
    if value is GONE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return made


def same(one: Any, two: Any) -> bool:
    """Whether a part would not be changed at all."""
    return type(one) is type(two) and one == two
