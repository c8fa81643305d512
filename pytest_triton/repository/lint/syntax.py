"""What is behind a mistake in the syntax: the usual ones, and how each is put right."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from pytest_triton.repository.lint.finding import Edit
from pytest_triton.repository.positions import Mistake, Position

_QUOTES = "“”„‟«»‘’‚‛″′"
#: What templates have in place of a value: ${x}, $(x), $x, {{ x }}, {% if x %}, <X>, @X@.
_PLACEHOLDER = re.compile(
    r"\$\{[^}\n]*\}|\$\([^)\n]*\)|\$[A-Za-z_]\w*|\{\{[^}\n]*\}\}|\{%[^\n]*?%\}"
    r"|<[A-Z][A-Z0-9_-]*>|@[A-Za-z_]\w*@"
)


class Hint(NamedTuple):
    """A mistake in words, what to do, and the change of the text where there is one."""

    reason: str
    fix: str = ""
    edits: tuple[Edit, ...] = ()


def hint(text: str, mistake: Mistake) -> Hint:
    """Explain a mistake of the kind "syntax" by the text around it."""
    lines = text.split("\n")
    line, column = mistake.position
    written = lines[line - 1] if line <= len(lines) else ""
    here = written[column - 1 : column]
    return (
        _encoded(text)
        or _strange(here, mistake.position)
        or _placeholder(written, mistake.position)
        or _punctuation(lines, here, written, mistake.position)
        or _known(mistake, here)
    )


def _replace(position: Position, length: int, text: str) -> tuple[Edit, ...]:
    return (Edit(position, Position(position.line, position.column + length), text),)


def _encoded(text: str) -> Hint | None:
    """A text of two bytes for each character, as some editors save it."""
    start = text.lstrip("\ufffd")[:4]
    if len(start) == 4 and (start[::2] == "\0\0") != (start[1::2] == "\0\0"):
        return Hint("the file is UTF-16", "save it as UTF-8")
    return None


def _strange(here: str, position: Position) -> Hint | None:
    """A character that looks like one of the syntax and is none."""
    if not here or here.isascii():
        return None
    name = unicodedata.name(here, "a character").lower()
    told = f"U+{ord(here):04X} ({name}) outside of a string"
    if here in _QUOTES:
        return Hint(told, 'write a plain quote (")')
    if here.isspace() or unicodedata.category(here) == "Cf":
        return Hint(told, "write a plain space", _replace(position, 1, " "))
    return Hint(told, "take it out")


def _placeholder(written: str, position: Position) -> Hint | None:
    """A template that has not been filled in."""
    found = _PLACEHOLDER.match(written, position.column - 1)
    if found is None:
        return None
    return Hint(f"{found[0]} is a placeholder, where a value belongs",
                "fill the template in, and lint what comes out")  # fmt: skip


def _punctuation(lines: list[str], here: str, written: str, position: Position) -> Hint | None:
    before = written[: position.column - 1]
    if here == "=":
        return Hint("a field and its value are separated by a colon", "write  :  instead of  =",
                    _replace(position, 1, ":"))  # fmt: skip
    if here == "/" and written[position.column : position.column + 1] in ("/", "*"):
        return Hint("comments begin with #", "write  #  instead", _replace(position, 2, "#"))
    if here in ("]", ",") and here:
        at = _before(lines, position)
        if at and lines[at.line - 1][at.column - 1] == ",":
            return Hint("a comma with nothing behind it", "take the comma out", _replace(at, 1, ""))
    if here in ("{", "[") and not before.strip() and position == Position(1, 1):
        return Hint("the text begins with a bracket", 'write fields, not JSON:  backend: "…"')
    return None


def _before(lines: list[str], position: Position) -> Position | None:
    """The last character before this one that is no blank; comments are not looked through."""
    line, column = position.line, position.column - 1
    while line >= 1:
        text = lines[line - 1][:column].rstrip()
        if text:
            return Position(line, len(text))
        line -= 1
        column = len(lines[line - 1]) if line else 0
    return None


def _known(mistake: Mistake, here: str) -> Hint:
    reason = mistake.reason.rstrip(".")
    if "escape sequence" in reason:
        return Hint(reason, "write two backslashes for one",
                    (Edit(mistake.position, mistake.position, "\\"),))  # fmt: skip
    if reason == 'Expected ":"':
        return Hint("a colon is missing between a field and its value", "write  name: value")
    if reason == 'Expected ","':
        if not here or here.isalpha():
            end = "the file ends" if not here else "a field comes"
            return Hint(f"{end} before the list is closed", "add  ]  where the list ends")
        return Hint("a comma is missing between the elements of a list", "add a comma")
    if "ending quote" in reason:
        return Hint("a string does not end on its line", 'close it with  "')
    if "NUL byte" in reason:
        return Hint(reason, "save the file as UTF-8 text")
    if reason in ('Expected "}"', 'Expected ">"'):
        return Hint(f"the file ends inside of a {reason[-2]}-bracket that begins here or before",
                    f"close it with  {reason[-2]}")  # fmt: skip
    shown = repr(here) if here else "the end of the file"
    if "Expected identifier" in reason:
        fix = "take it out, or open its bracket before" if here in ("}", ">", "]") else (
            "write  name: value"
        )  # fmt: skip
        return Hint(f"the name of a field is expected, not {shown}", fix)
    if "does not have extensions" in reason:
        return Hint(reason, "take the field in brackets out")
    if reason == "Expected value" or "Expected string but found" in reason:
        return Hint(f"a value is expected, not {shown}", "write  name: value")
    if reason == 'Expected "{"':
        return Hint(f"a message in brackets is expected, not {shown}", "write  name { … }")
    return Hint(reason[:200])
