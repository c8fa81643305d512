"""Places in a JSON document, written ``outputs[0].data``, ``stats[*].count``, ``[name=mlp].x``.

``[n]`` is an index (negative from the end), ``[*]`` every item, ``[key=value]`` the items of a
list whose key has that value. A key may be quoted: ``labels["a.b"]``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

_TOKEN = re.compile(
    r"""\.?(?P<key>[A-Za-z_][\w-]*)|\["(?P<quoted>[^"]*)"\]|\[(?P<index>-?\d+)\]|(?P<all>\[\*\])"""
    r"""|\[(?P<name>[\w-]+)=(?P<value>[^\]]*)\]"""
)
Container = Any
Key = Any


def parse(path: str) -> list[Any]:
    """The steps of a path; ValueError when it cannot be read."""
    steps: list[Any] = []
    position = 0
    while position < len(path):
        found = _TOKEN.match(path, position)
        if found is None:
            raise ValueError(f"{path!r} is no path (at {path[position:]!r})")
        if found["key"] is not None or found["quoted"] is not None:
            steps.append(("key", found["key"] if found["key"] is not None else found["quoted"]))
        elif found["index"] is not None:
            steps.append(("index", int(found["index"])))
        elif found["all"]:
            steps.append(("all", None))
        else:
            steps.append(("where", (found["name"], found["value"])))
        position = found.end()
    if not steps:
        raise ValueError("a path has at least one step")
    return steps


def _children(node: Any, step: tuple[str, Any], *, create: bool) -> Iterator[Key]:
    kind, value = step
    if kind == "key" and isinstance(node, dict):
        if create or value in node:
            yield value
    elif kind == "index" and isinstance(node, list):
        if -len(node) <= value < len(node):
            yield value
    elif kind == "all" and isinstance(node, list):
        yield from range(len(node))
    elif kind == "all" and isinstance(node, dict):
        yield from list(node)
    elif kind == "where" and isinstance(node, list):
        name, wanted = value
        for index, item in enumerate(node):
            if isinstance(item, dict) and str(item.get(name)) == wanted:
                yield index


def places(document: Any, path: str, *, create: bool = False) -> list[tuple[Container, Key, str]]:
    """Every place that a path names: container, key, and the path written out.

    ``create``: the last key need not be there yet.
    """
    nodes: list[tuple[Any, str]] = [(document, "")]
    steps = parse(path)
    found: list[tuple[Container, Key, str]] = []
    for number, step in enumerate(steps):
        last = number == len(steps) - 1
        following: list[tuple[Any, str]] = []
        for node, label in nodes:
            for key in _children(node, step, create=create and last):
                if last:
                    found.append((node, key, f"{label}/{key}"))
                else:
                    following.append((node[key], f"{label}/{key}"))
        nodes = following
    return found


def change(document: Any, path: str, value: Callable[[Any, str], Any]) -> int:
    """Replace what is at every place by ``value(old, place)``; how many there were."""
    found = places(document, path)
    for container, key, label in found:
        container[key] = value(container[key], label)
    return len(found)


def put(document: Any, path: str, value: Any) -> int:
    """Set every place of the path, creating the last key; how many there were."""
    found = places(document, path, create=True)
    for container, key, _ in found:
        container[key] = value
    return len(found)


def delete(document: Any, path: str) -> int:
    """Remove every place of the path; how many there were."""
    found = places(document, path)
    for container, key, _ in reversed(found):
        del container[key]
    return len(found)
