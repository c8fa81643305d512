"""config.pbtxt with the position of every field: what a finding points at and a fix changes.

The parser is protobuf's own (``text_format``), made to note where it is and to go on after
mistakes that it can step over: an unknown field, an unknown value of an enumeration. One
such mistake must not hide the others of a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

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

    #: "syntax", "field" (unknown), "value" (unknown, of an enumeration)
    kind: str
    position: Position
    reason: str
    #: The name that is not known; empty for a mistake in the syntax.
    name: str = ""
    #: The message that it was looked for in (``ModelInput``), or the enumeration.
    within: str = ""
    #: What it could have been.
    choices: tuple[str, ...] = ()
    path: FieldPath = ()


@dataclass(slots=True)
class Located:
    """A configuration as far as it could be read, and where its fields are."""

    config: ModelConfig
    spans: dict[FieldPath, Span] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

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

    located = Located(new_config())
    parser = _parser_class()(located)
    try:
        parser.ParseLines(text.split("\n"), located.config)
    except text_format.ParseError as error:
        position = Position(error.GetLine() or 1, error.GetColumn() or 1)
        reason = str(error).removeprefix(f"{position.line}:{position.column} : ")
        located.mistakes.append(Mistake("syntax", position, reason))
    except RecursionError:
        located.mistakes.append(Mistake("syntax", Position(1, 1), "messages are nested too deep"))
    return located


@lru_cache(maxsize=1)
def _parser_class() -> Any:
    """Made on first use: protobuf costs time to import."""
    from google.protobuf import descriptor
    from google.protobuf import text_format as public

    text_format: Any = public  # its parser's class is private, and has no types
    enumeration = descriptor.FieldDescriptor.TYPE_ENUM

    class Tokenizer(text_format.Tokenizer):  # type: ignore[misc]
        """Knows where the last token ended."""

        end = Position(1, 1)

        def NextToken(self) -> None:
            self.end = Position(self._line + 1, self._column + len(self.token) + 1)
            super().NextToken()

        def here(self) -> Position:
            return Position(self._line + 1, self._column + 1)

    class Parser(text_format._Parser):  # type: ignore[misc]
        """Notes each field's span under its path."""

        def __init__(self, located: Located) -> None:
            super().__init__(allow_unknown_field=True)
            self.located = located
            self.path: FieldPath = ()
            self.start = Position(1, 1)

        def _ParseOrMerge(self, lines: Any, message: Any) -> None:
            tokenizer = Tokenizer(iter(lines))
            self.root_type = message.DESCRIPTOR.full_name
            while not tokenizer.AtEnd():
                self._MergeField(tokenizer, message)

        def _MergeField(self, tokenizer: Any, message: Any) -> None:
            outer, self.start = self.start, tokenizer.here()
            super()._MergeField(tokenizer, message)
            self.start = outer

        def _MergeMessageField(self, tokenizer: Any, message: Any, field: Any) -> None:
            start, value = self.start, tokenizer.here()
            above = self.path
            entries = text_format._IsMapEntry(field)
            step = () if not _repeated(field) else (
                ("?",) if entries else (len(getattr(message, field.name)),)
            )  # fmt: skip
            self.path = inner = (*above, field.name, *step)
            before = len(self.located.spans)
            super()._MergeMessageField(tokenizer, message, field)
            self.path = above
            if entries:
                inner = self._named(inner, before)
            self._note(inner, Span(start, value, tokenizer.end))

        def _named(self, inner: FieldPath, before: int) -> FieldPath:
            """A map's entry is filed under its key, which is known only at its end."""
            spans = self.located.spans
            recent = [path for path in list(spans)[before:] if path[: len(inner)] == inner]
            key = self._key
            for path in recent:
                named = (*inner[:-1], key, *path[len(inner) :])
                spans[named] = spans.pop(path)
            return (*inner[:-1], key)

        def _MergeScalarField(self, tokenizer: Any, message: Any, field: Any) -> None:
            start, value = self.start, tokenizer.here()
            path: FieldPath = (*self.path, field.name)
            if _repeated(field):
                path = (*path, len(getattr(message, field.name)))
            if field.type == enumeration and self._unknown_value(tokenizer, field, path):
                return
            super()._MergeScalarField(tokenizer, message, field)
            if field.name == "key" and self.path[-1:] == ("?",):
                self._key = message.key
            self._note(path, Span(start, value, tokenizer.end))

        def _unknown_value(self, tokenizer: Any, field: Any, path: FieldPath) -> bool:
            """Step over a value that the enumeration does not have."""
            token, known = tokenizer.token, field.enum_type.values_by_name
            if token in known or not token[:1].isalpha():
                return False
            reason = f'Enum type "{field.enum_type.full_name}" has no value named {token}.'
            self.located.mistakes.append(
                Mistake(
                    "value", tokenizer.here(), reason, token, field.enum_type.name,
                    tuple(known), path,
                )
            )  # fmt: skip
            tokenizer.NextToken()
            return True

        def _SkipFieldContents(self, tokenizer: Any, name: str, full_name: str) -> None:
            kind = new_config().DESCRIPTOR.file.pool.FindMessageTypeByName(full_name)
            reason = f'Message type "{full_name}" has no field named "{name}".'
            self.located.mistakes.append(
                Mistake(
                    "field", self.start, reason, name, kind.name,
                    tuple(kind.fields_by_name), (*self.path, name),
                )
            )  # fmt: skip
            super()._SkipFieldContents(tokenizer, name, full_name)

        def _note(self, path: FieldPath, span: Span) -> None:
            # An element of the short form has the name in front of the bracket.
            self.located.spans[path] = span
            if path and isinstance(path[-1], int):
                whole = self.located.spans.get(path[:-1])
                merged = span if whole is None else replace(whole, end=span.end)
                self.located.spans[path[:-1]] = merged

    return Parser


def _repeated(descriptor: Any) -> bool:
    """``is_repeated`` came with protobuf 6; ``label`` leaves with a later one."""
    known = getattr(descriptor, "is_repeated", None)
    return bool(known) if known is not None else descriptor.label == descriptor.LABEL_REPEATED


def fields(located: Located) -> Iterator[tuple[FieldPath, Span]]:
    """Every field that the file sets, in its order."""
    return iter(sorted(located.spans.items(), key=lambda item: item[1].start))
