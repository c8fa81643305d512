"""Beginnings of what travels, cut at once: a body of 100 MB leaves 64 KiB and its length."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

BODY = 64 << 10
"""Bytes of a body, or of the messages of one direction of a call, that are kept."""
WHOLE = 8 << 20
"""Bytes of a message up to which its long fields are copied to keep their beginnings."""
_FIELD = 1 << 10
_ITEMS = 64
_HEADERS = 16 << 10


class Body:
    """The beginning of a body that comes in parts, and its whole length in bytes."""

    __slots__ = ("_parts", "kept", "size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.kept = self.size = 0

    def add(self, part: bytes) -> None:
        """Take a part; only as much as there is room for stays alive."""
        self.size += len(part)
        if (room := BODY - self.kept) > 0 and part:
            head = bytes(part[:room])
            self._parts.append(head)
            self.kept += len(head)

    @property
    def cut(self) -> bool:
        """Whether there was more than is kept."""
        return self.size > self.kept

    @property
    def data(self) -> bytes:
        """What is kept."""
        return b"".join(self._parts)


class Messages:
    """The messages of one direction of a call.

    ``items`` holds a class and its bytes (a message as it was), None and bytes (no message),
    or None and a dict (the outline of a large one).
    """

    __slots__ = ("count", "items", "kept", "size")

    def __init__(self) -> None:
        self.items: list[tuple[Any, Any]] = []
        self.count = self.kept = self.size = 0

    def add(self, message: Any) -> None:
        """Take a message as it is now: its owner may change it afterwards."""
        self.count += 1
        if isinstance(message, (bytes, bytearray, memoryview)):
            self.size += len(message)
            self._keep(None, bytes(message[: max(0, BODY - self.kept)]))
            return
        if not hasattr(message, "ByteSize"):
            self._keep(None, repr(message)[:_FIELD].encode())
            return
        size = message.ByteSize()
        self.size += size
        if self.kept + size <= BODY:
            self._keep(type(message), message.SerializePartialToString())
        elif self.kept < BODY:
            told = {"cut": f"a message of {size} bytes"}
            outline = _outline(message, size <= WHOLE)
            if (weight := len(json.dumps(outline))) <= BODY:
                told |= outline
                self.kept += weight
            self.items.append((None, told))
            self.kept += 256

    @property
    def cut(self) -> bool:
        """Whether a message is missing or is not whole."""
        return len(self.items) < self.count or any(isinstance(told, dict) for _, told in self.items)

    def _keep(self, kind: Any, data: bytes) -> None:
        if self.kept < BODY or (not self.items and not data):
            self.items.append((kind, data))
            self.kept += len(data) + 64


def _outline(message: Any, with_bytes: bool, depth: int = 4) -> dict[str, Any]:
    """A large message as plain values, long ones cut. Bytes are left out of the largest ones:
    to look at them copies them whole."""
    told: dict[str, Any] = {}
    for at, field in enumerate(message.DESCRIPTOR.fields):
        if at >= _ITEMS:
            break
        if field.type == field.TYPE_BYTES and field.has_presence and not with_bytes:
            if message.HasField(field.name):
                told[field.name] = "bytes, not kept"
            continue
        value = getattr(message, field.name)
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            inner = entry.fields_by_name["value"]
            if value:
                keys = [key for key, _ in zip(value, range(_ITEMS), strict=False)]
                told[field.name] = {
                    str(key)[:_FIELD]: _value(inner, value[key], with_bytes, depth) for key in keys
                }
        elif hasattr(value, "append") or hasattr(value, "add"):  # repeated
            if len(value):
                told[field.name] = _items(field, value, with_bytes, depth)
        elif not field.has_presence or message.HasField(field.name):
            told[field.name] = _value(field, value, with_bytes, depth)
    return told


def _items(field: Any, value: Any, with_bytes: bool, depth: int) -> Any:
    if field.type == field.TYPE_BYTES and not with_bytes:
        return f"{len(value)} of them, not kept"
    some = [_value(field, value[at], with_bytes, depth) for at in range(min(len(value), _ITEMS))]
    return some if len(value) <= _ITEMS else [*some, f"cut: {len(value)} in all"]


def _value(field: Any, value: Any, with_bytes: bool, depth: int) -> Any:
    if field.message_type is not None:
        return _outline(value, with_bytes, depth - 1) if depth else "cut"
    if field.type == field.TYPE_BYTES:
        if not with_bytes:
            return "bytes, not kept"
        return {"size": len(value), "begins": value[:_FIELD].hex()}
    if isinstance(value, str) and len(value) > _FIELD:
        return f"{value[:_FIELD]}… (cut: {len(value)} characters in all)"
    return value


def bounded_pairs(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Headers, cut where they are longer than headers are."""
    kept, room = [], _HEADERS
    for name, value in pairs:
        if room <= 0:
            kept.append(("…", "more headers, not kept"))
            break
        name, value = str(name)[:_FIELD], str(value)
        if len(value) > room:
            value = f"{value[:room]}… (cut: {len(value)} characters in all)"
        room -= len(name) + len(value)
        kept.append((name, value))
    return kept
