"""config.pbtxt with the position of every field: what a finding points at and a fix changes.

The parser is protobuf's own (``text_format``), made to note where it is, to go on after
mistakes that it can step over (an unknown field, an unknown value of an enumeration: one
such mistake must not hide the others of a file), and to be as strict and as tolerant as the
one in Triton, which is protobuf's for C++: see :mod:`textparser`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from pytest_triton.repository.config import ModelConfig, new_config

#: ``("input", 0, "dims", 1)``: names of fields, indices of repeated ones, keys of maps.
FieldPath = tuple[str | int, ...]


class Position(NamedTuple):
    """Line and column, both from 1; columns count characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Span:
    """Where a field is written: from its name to the end of its value."""

    #: The field's name; in the short form ``dims: [ 1, 2 ]`` each element has the same.
    start: Position
    #: The value, for a message its opening bracket.
    value: Position
    #: Behind the last character of the value.
    end: Position


@dataclass(frozen=True, slots=True)
class Mistake:
    """Text that is no ModelConfig, in the words of the parser."""

    #: "syntax" (nothing behind it is read), "field" (unknown), "value" (unknown, of an
    #: enumeration), "kind" (a value that the field cannot hold), "twice" (a field that is
    #: set already), "choice" (another member of its oneof is set already), "mark" (a byte
    #: order mark in front)
    kind: str
    position: Position
    reason: str
    #: The text that is wrong: the name, or the value; empty for a mistake in the syntax.
    name: str = ""
    #: The message that it was looked for in (``ModelInput``), or the enumeration.
    within: str = ""
    #: What it could have been; for "choice" what is set already.
    choices: tuple[str, ...] = ()
    path: FieldPath = ()


@dataclass(slots=True)
class Located:
    """A configuration as far as it could be read, and where its fields are."""

    config: ModelConfig
    spans: dict[FieldPath, Span] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    #: Entries of maps whose key comes again further down, with the later entry's place.
    overwritten: list[tuple[FieldPath, Span]] = field(default_factory=list)

    def doubtful(self, *path: str | int) -> bool:
        """Whether a mistake lies at this field or inside it: what is missing may be just that."""
        return any(
            mistake.path[: len(path)] == path or mistake.kind == "syntax"
            for mistake in self.mistakes
        )

    def span(self, *path: str | int) -> Span | None:
        """The span of exactly this field; None when the file does not set it."""
        return self.spans.get(path)

    def at(self, *path: str | int) -> Position:
        """The value of this field, or of the nearest field around it that is there; else 1:1."""
        for length in range(len(path), 0, -1):
            if found := self.spans.get(path[:length]):
                return found.value if length == len(path) else found.start
        return Position(1, 1)


def locate(text: str) -> Located:
    """Parse a configuration with positions; never raises for what the text says."""
    from google.protobuf import text_format

    from pytest_triton.repository.textparser import parser_class

    located = Located(new_config())
    if text.startswith("\ufeff"):
        reason = "the file begins with a byte order mark"
        located.mistakes.append(Mistake("mark", Position(1, 1), reason))
        text = " " + text[1:]
    try:
        parser_class()(located).ParseLines(text.split("\n"), located.config)
    except text_format.ParseError as error:
        position = Position(error.GetLine() or 1, error.GetColumn() or 1)
        lines = text.split("\n")
        line = lines[position.line - 1] if position.line <= len(lines) else ""
        reason = str(error).removeprefix(f"{position.line}:{position.column} : ")
        # In front of the reason stands the line; at the end of the file it is empty.
        reason = reason.removeprefix(f"'{line}': ").removeprefix("'': ")
        located.mistakes.append(Mistake("syntax", position, reason))
    except RecursionError:
        located.mistakes.append(Mistake("syntax", Position(1, 1), "messages are nested too deep"))
    return located


def fields(located: Located) -> Iterator[tuple[FieldPath, Span]]:
    """Every field that the file sets, in its order."""
    return iter(sorted(located.spans.items(), key=lambda item: item[1].start))
