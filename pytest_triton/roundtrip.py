"""What config.pbtxt sets against what is served: every field that the file writes down.

The file's own text says what was set: a zero that somebody wrote is a value, and protobuf's
message alone does not tell it from one that nobody wrote.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_triton.repository.config import ModelConfig
from pytest_triton.repository.positions import FieldPath, locate

#: Fields for which Triton, or a backend that completes configurations, takes an explicit 0 or
#: "" for "not said". Seen on 2.39, 2.48 and 2.51.
_FILLED = frozenset(
    {
        ("name",),
        ("platform",),
        ("backend",),
        ("runtime",),
        ("default_model_filename",),
        ("max_batch_size",),
        ("input", "data_type"),
        ("output", "data_type"),
        ("instance_group", "name"),
        ("instance_group", "kind"),
        ("instance_group", "count"),
        ("sequence_batching", "max_sequence_idle_microseconds"),
    }
)
#: Lists to which a backend that completes configurations may add at the end.
_GROWING = frozenset({("input",), ("output",)})
#: Messages in which an empty list says something: ``reshape { shape: [ ] }`` is a scalar.
_WHOLE = frozenset({"reshape"})

_ABSENT: Any = object()


@dataclass(frozen=True, slots=True)
class Lost:
    """A field of the file that is not served as it is written."""

    text: str
    line: int


def lost_fields(
    text: str, served: ModelConfig, *, sides: tuple[str, str] = ("on disk", "as served")
) -> list[Lost]:
    """The fields that ``text`` sets and that ``served`` has otherwise, in the file's order.

    What cannot be read of the text (a field of a newer release) is left out. ``sides`` are
    the words for the two.
    """
    located = locate(text)
    lost: list[Lost] = []
    gone: set[FieldPath] = set()
    for path, span in sorted(located.spans.items(), key=lambda item: len(item[0])):
        if any(path[:length] in gone for length in range(1, len(path))):
            continue
        if said := _difference(_find(located.config, path), _find(served, path), *sides):
            gone.add(path)
            lost.append(Lost(said, span.start.line))
    return sorted(lost, key=lambda item: item.line)


def fields_set(text: str) -> int:
    """How many fields the text sets, messages counted with what is in them."""
    return len(locate(text).spans)


@dataclass(frozen=True, slots=True)
class _Found:
    """A field of a message: its value, where it is, and what it is."""

    value: Any
    #: ``parameters['KEY'].string_value``, and the names alone.
    place: str
    names: tuple[str, ...]
    kind: str


def _find(message: Any, path: FieldPath) -> _Found:
    """Follow a path of :func:`locate`; the value is ``_ABSENT`` where the message has none."""
    value, kind, place = message, "message", ""
    names: list[str] = []
    steps = list(path)
    while steps:
        name = str(steps.pop(0))
        descriptor = message.DESCRIPTOR.fields_by_name[name]
        place += f".{name}" if place else name
        names.append(name)
        absent = descriptor.has_presence and not message.HasField(name)
        value = _ABSENT if absent else _named(descriptor, getattr(message, name))
        kind = "list" if hasattr(value, "append") else "message" if descriptor.message_type else ""
        if descriptor.message_type and descriptor.message_type.GetOptions().map_entry:
            kind = "map"
        if value is not _ABSENT and steps and kind in ("list", "map"):
            key = steps.pop(0)
            place += f"[{key!r}]"
            has = key in value if kind == "map" else int(key) < len(value)
            value = value[key] if has else _ABSENT
            if kind == "map" and steps[:1] == ["key"]:
                value = key if has else _ABSENT
            steps = steps[1:] if kind == "map" else steps
            kind = "message" if hasattr(value, "ListFields") else ""
        if value is _ABSENT:
            break
        message = value
    return _Found(value, place, tuple(names), kind)


def _named(descriptor: Any, value: Any) -> Any:
    """Values of an enumeration by name: people read this."""
    if descriptor.enum_type is None:
        return value
    known = descriptor.enum_type.values_by_number
    if hasattr(value, "append"):
        return [known[each].name if each in known else each for each in value]
    return known[value].name if value in known else value


def _difference(wanted: _Found, served: _Found, here: str, there: str) -> str:
    """What is wrong with one field; empty when nothing is."""
    one, two, place = wanted.value, served.value, wanted.place
    if one is _ABSENT or (wanted.kind == "map" and two is not _ABSENT):
        return ""
    if two is _ABSENT:
        return f"{place} is set {here}, and not {there}"
    if wanted.kind == "list":
        grown = wanted.names in _GROWING and len(two) > len(one)
        if len(one) == len(two) or grown:
            return ""
        return f"{place} has {len(one)} elements {here} and {len(two)} {there}"
    if wanted.kind == "message":
        if wanted.names[-1] in _WHOLE and one != two:
            return f"{place} is {_short(one)} {here} and {_short(two)} {there}"
        return ""
    if one == two or (_unsaid(one) and wanted.names in _FILLED):
        return ""
    return f"{place} is {one!r} {here} and {two!r} {there}"


def _unsaid(value: Any) -> bool:
    return not value or value in ("TYPE_INVALID", "KIND_AUTO")


def _short(message: Any) -> str:
    return "{ " + "".join(f"{part} " for part in str(message).split()) + "}"
