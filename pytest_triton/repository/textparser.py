"""protobuf's text parser for Python, noting positions and judging as Triton's does.

Triton reads config.pbtxt with protobuf's parser for C++. The two differ in small things, each
of which was tried on 2.39, 2.48 and 2.51: Python takes ``+8``, ``1_000``, ``"\\d"``, a no-break
space and ``-0`` for an unsigned number, all of which the server refuses; the server takes
``- 8`` and ``01`` for a bool. What the server refuses has to be refused here, and the reverse.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice
from typing import Any

from pytest_triton.repository.config import new_config
from pytest_triton.repository.positions import FieldPath, Located, Mistake, Position, Span

_INTEGER = re.compile(r"-?(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
_FLOAT = re.compile(
    r"-?(?:(?:0|[1-9][0-9]*|[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?"
    r"|[0-9]+[eE][+-]?[0-9]+[fF]?|inf|infinity|nan)",
    re.IGNORECASE,
)
_ESCAPE = re.compile(
    r"\\(?:[abfnrtv\\?'\"]|[0-7]|[xX][0-9a-fA-F]|u[0-9a-fA-F]{4}|U(?:000[0-9a-fA-F]|0010)[0-9a-fA-F]{4})"
)
_BLANK = r"[ \t\r\f\v]"
_FLAGS = {
    "true": True, "yes": True, "on": True, "false": False, "no": False, "off": False,
}  # fmt: skip
#: Of one file; what is beyond has no position of its own, or is not read.
_MOST_SPANS, _MOST_MISTAKES = 100_000, 1000
_CLOSING = {"{": "}", "<": ">", "[": "]"}
#: A token that can be stepped over as one value.
_WHOLE = re.compile(r"""[A-Za-z_][0-9A-Za-z_]*|[-+.]?[0-9][0-9A-Za-z_.+-]*|"[^"]*"|'[^']*'""")


@lru_cache(maxsize=1)
def parser_class() -> Any:
    """The parser; made on first use, because protobuf costs time to import."""
    from google.protobuf import descriptor
    from google.protobuf import text_format as public

    text_format: Any = public  # its parser's class is private, and has no types
    kinds = descriptor.FieldDescriptor
    floats = (kinds.CPPTYPE_FLOAT, kinds.CPPTYPE_DOUBLE)
    integers = (
        kinds.CPPTYPE_INT32, kinds.CPPTYPE_INT64, kinds.CPPTYPE_UINT32, kinds.CPPTYPE_UINT64,
    )  # fmt: skip
    unsigned = (kinds.CPPTYPE_UINT32, kinds.CPPTYPE_UINT64)

    class Tokenizer(text_format.Tokenizer):  # type: ignore[misc]
        """Knows where the last token ended, and what separates tokens in C++."""

        token: str
        end = Position(1, 1)
        _WHITESPACE = re.compile(rf"{_BLANK}+")
        _WHITESPACE_OR_COMMENT = re.compile(rf"({_BLANK}|(#.*$))+", re.MULTILINE)

        def NextToken(self) -> None:
            self.end = Position(self._line + 1, self._column + len(self.token) + 1)
            super().NextToken()
            if self.token[:1] in ("'", '"'):
                self._check_string()

        def ConsumeString(self) -> str:
            # The server takes any bytes that are written as escapes.
            return bytes(self.ConsumeByteString()).decode("utf-8", "replace")

        def here(self) -> Position:
            return Position(self._line + 1, self._column + 1)

        def put(self, token: str) -> None:
            """Another spelling of the token, with its end where it was."""
            self._column += len(self.token) - len(token)
            self.token = token

        def join_sign(self) -> None:
            """``- 8`` is one number."""
            if self.token != "-":
                return
            line, column = self._line, self._column
            self.NextToken()
            if self._line == line and self.token[:1] not in ("", "-", "+"):
                # The sign moves to the number, so that the end of the number stays right.
                self._column -= 1
                self.token = f"-{self.token}"
            else:
                raise text_format.ParseError("Expected number.", line + 1, column + 1)

        def _check_string(self) -> None:
            start = 0
            while (found := self.token.find("\\", start)) >= 0:
                if not (escape := _ESCAPE.match(self.token, found)):
                    if found >= len(self.token) - 2:
                        return  # the string does not end: told as such
                    raise text_format.ParseError(
                        f"Invalid escape sequence {self.token[found : found + 2]} in a string.",
                        self._line + 1, self._column + found + 1,
                    )  # fmt: skip
                start = escape.end()
            if "\0" in self.token:
                raise text_format.ParseError(
                    "A string contains a NUL byte.",
                    self._line + 1, self._column + self.token.index("\0") + 1,
                )  # fmt: skip

    class Parser(text_format._Parser):  # type: ignore[misc]
        """Notes each field's span under its path."""

        def __init__(self, located: Located) -> None:
            super().__init__(allow_unknown_field=True)
            self.located = located
            self._key: Any = None
            self.path: FieldPath = ()
            self.start = Position(1, 1)

        def _ParseOrMerge(self, lines: Any, message: Any) -> None:
            tokenizer = Tokenizer(iter(lines))
            self.root_type = message.DESCRIPTOR.full_name
            # What comes twice is told here, and read: the rest of the file has to be seen too.
            self._allow_multiple_scalars = True
            while not tokenizer.AtEnd():
                self._MergeField(tokenizer, message)

        def _MergeField(self, tokenizer: Any, message: Any) -> None:
            if len(self.located.mistakes) > _MOST_MISTAKES:
                raise tokenizer.ParseError(f"more than {_MOST_MISTAKES} mistakes: the rest is left")
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
            self._set_already(message, field, inner)
            before = len(self.located.spans)
            if entries:
                # Without a key the entry has the default one.
                self._key = field.message_type.fields_by_name["key"].default_value
            super()._MergeMessageField(tokenizer, message, field)
            self.path = above
            if entries:
                inner = self._named(inner, before)
            self._note(inner, Span(start, value, tokenizer.end))

        def _named(self, inner: FieldPath, before: int) -> FieldPath:
            """A map's entry is filed under its key, which is known only at its end."""
            spans = self.located.spans
            # What was filed since ``before`` stands at the end; the file may have very many.
            latest = [*islice(reversed(spans), len(spans) - before)][::-1]
            recent = [path for path in latest if path[: len(inner)] == inner]
            key = self._key
            if (*inner[:-1], key) in spans:
                self.located.overwritten.append(((*inner[:-1], key), Span(
                    self.start, self.start, self.start
                )))  # fmt: skip
            for path in recent:
                named = (*inner[:-1], key, *path[len(inner) :])
                spans[named] = spans.pop(path)
            return (*inner[:-1], key)

        def _MergeScalarField(self, tokenizer: Any, message: Any, field: Any) -> None:
            start, value = self.start, tokenizer.here()
            path: FieldPath = (*self.path, field.name)
            if _repeated(field):
                path = (*path, len(getattr(message, field.name)))
            if field.type == kinds.TYPE_ENUM and self._unknown_value(tokenizer, field, path):
                return
            self._set_already(message, field, path)
            written, token = tokenizer.here(), tokenizer.token
            try:
                self._as_in_cpp(tokenizer, field)
                super()._MergeScalarField(tokenizer, message, field)
            except text_format.ParseError as error:
                if not _WHOLE.fullmatch(token) or tokenizer.here() != written:
                    raise
                # A value of the wrong kind: what comes behind it can be read.
                reason = str(error).rpartition("': ")[2]
                self.located.mistakes.append(
                    Mistake("kind", written, reason, token, self._kind(field, token), (), path)
                )
                tokenizer.NextToken()
                if (meant := meaning(token, field)) is not None:
                    if _repeated(field):
                        getattr(message, field.name).append(meant)
                    else:
                        setattr(message, field.name, meant)
                    self._note(path, Span(start, value, tokenizer.end))
                return
            except ValueError as error:  # an enum's number that fits no integer; it was consumed
                self.located.mistakes.append(
                    Mistake("kind", written, str(error), token, self._kind(field, token), (), path)
                )
                return
            if field.name == "key" and self.path[-1:] == ("?",):
                self._key = message.key
            self._note(path, Span(start, value, tokenizer.end))

        def _kind(self, field: Any, token: str) -> str:
            if field.cpp_type == kinds.CPPTYPE_ENUM:
                return str(field.enum_type.name)
            if field.cpp_type == kinds.CPPTYPE_BOOL:
                return "true or false"
            if field.cpp_type == kinds.CPPTYPE_STRING:
                return "a string"
            if field.cpp_type in floats:
                return "a number"
            if not _INTEGER.fullmatch(token):
                return "an integer"
            least, most = _range(field)
            return f"an integer from {least} to {most}"

        def _set_already(self, message: Any, field: Any, path: FieldPath) -> None:
            """Note a field that comes twice, or together with another of its oneof."""
            if _repeated(field):
                return
            chosen = message.WhichOneof(field.containing_oneof.name) if (
                field.containing_oneof
            ) else None  # fmt: skip
            if chosen not in (None, field.name):
                kind, reason = "choice", f'Field "{field.name}" excludes "{chosen}".'
            elif (
                message.HasField(field.name)
                if field.has_presence
                else getattr(message, field.name) != field.default_value
            ):
                kind, reason = "twice", f'Field "{field.name}" is set twice.'
            else:
                return
            self.located.mistakes.append(
                Mistake(
                    kind, self.start, reason, field.name, field.containing_type.name,
                    (chosen,) if chosen else (), path,
                )
            )  # fmt: skip

        def _as_in_cpp(self, tokenizer: Any, field: Any) -> None:
            """Refuse numbers that only Python takes, and pass on those that only C++ takes."""
            kind = field.cpp_type
            if kind in integers or kind in floats or kind == kinds.CPPTYPE_ENUM:
                tokenizer.join_sign()
            token = tokenizer.token
            if kind in integers or (kind == kinds.CPPTYPE_ENUM and not token[:1].isalpha()):
                if not _INTEGER.fullmatch(token):
                    raise tokenizer.ParseError(f"Couldn't parse integer: {token}")
                if kind == kinds.CPPTYPE_ENUM and re.fullmatch(r"-?0[0-7]+", token):
                    tokenizer.put(str(int(token, 8)))  # Python reads no octal number there
                if kind in unsigned and token.startswith("-"):
                    raise tokenizer.ParseError(f"Expected an unsigned number: {token}")
            elif kind in floats:
                if not _FLOAT.fullmatch(token):
                    raise tokenizer.ParseError(f"Couldn't parse float: {token}")
                if token[-1] in "fF" and token[-2].lower() != "n":
                    tokenizer.put(token[:-1])  # protobuf 5 knows 1.0f, and not 1.0F
            elif kind == kinds.CPPTYPE_BOOL and re.fullmatch(r"0+1?|0[xX]0*[01]", token):
                tokenizer.put("1" if token.endswith("1") else "0")

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
            _skip(tokenizer)

        def _note(self, path: FieldPath, span: Span) -> None:
            # An element of the short form has the name in front of the bracket.
            spans = self.located.spans
            if len(spans) > _MOST_SPANS and isinstance(path[-1], int):
                return
            spans[path] = span
            if path and isinstance(path[-1], int):
                whole = spans.get(path[:-1])
                spans[path[:-1]] = span if whole is None else Span(
                    whole.start, whole.value, span.end
                )  # fmt: skip

    return Parser


def _repeated(descriptor: Any) -> bool:
    """``is_repeated`` came with protobuf 6; ``label`` leaves with a later one."""
    known = getattr(descriptor, "is_repeated", None)
    return bool(known) if known is not None else descriptor.label == descriptor.LABEL_REPEATED


def _range(field: Any) -> tuple[int, int]:
    """The least and the largest value of a field of integers."""
    bits = 32 if field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_UINT32) else 64
    if field.cpp_type in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64):
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def meaning(token: str, field: Any) -> int | bool | str | None:
    """What a value of the wrong kind was meant to be, where that is plain.

    Other checks go on with it: ``max_batch_size: "8"`` is one mistake, not two.
    """
    text = token.strip("\"'")
    if field.enum_type is not None:
        known = field.enum_type.values_by_name.get(text)
        return None if known is None else int(known.number)
    if field.cpp_type == field.CPPTYPE_BOOL:
        return _FLAGS.get(text.lower())
    if field.cpp_type == field.CPPTYPE_STRING:
        return text
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return None
    whole = text.removesuffix(".0").removeprefix("+").replace("_", "")
    # Python refuses to read numbers of thousands of digits.
    if not re.fullmatch(r"-?[0-9]{1,40}", whole):
        return None
    least, most = _range(field)
    return min(int(whole), most) if int(whole) >= least else None


def _skip(tokenizer: Any) -> None:
    """Step over the value of an unknown field, with everything between its brackets."""
    tokenizer.TryConsume(":")
    opened: list[str] = []
    while True:
        token = tokenizer.token
        if token in _CLOSING:
            opened.append(_CLOSING[token])
        elif opened and token == opened[-1]:
            opened.pop()
        elif not token or token in _CLOSING.values():
            raise tokenizer.ParseError(f'Expected "{opened[-1]}".' if opened else "Expected value.")
        elif not opened and token == "-":
            tokenizer.join_sign()
        if token[0] in "'\"":
            tokenizer.ConsumeByteString()
        else:
            tokenizer.NextToken()
        if not opened:
            return
