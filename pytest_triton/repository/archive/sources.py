"""The code of an archive by its names: classes, their attributes, single functions.

Functions are parsed as Python, which they resemble, within bounds; what does not parse is not there.
"""

from __future__ import annotations

import ast
import re
import warnings

from pytest_triton.repository.archive.zipped import BrokenArchive, Records

#: Characters of a function, and of one of its lines, that are parsed; and of all functions.
MAX_FUNCTION = 64 * 1024
_MAX_LINE = 4000
_MAX_PARSED = 512 * 1024
#: Bytes of code that are unpacked for this.
_MAX_TEXT = 16 * 1024 * 1024
_ATTRIBUTE = re.compile(
    r'^  (?:(\w{1,200})|__annotations__\["(\w{1,200})"\]) [:=] ([\w.]{1,1000})$', re.MULTILINE
)


def record_of(module: str) -> str:
    """The record of a module's code."""
    return f"code/{module.replace('.', '/')}.py"


def text_of(records: Records, name: str, limit: int) -> str:
    """A record of code, one byte a character, whatever it holds. Raises BrokenArchive."""
    return records.read(name, limit).decode("latin-1")


def class_of(text: str, name: str) -> str | None:
    """The lines of one class."""
    begin = re.search(rf"^class {re.escape(name)}\(", text, re.MULTILINE)
    if begin is None:
        return None
    end = re.compile(r"^\S", re.MULTILINE).search(text, begin.end())
    return text[begin.start() : end.start() if end else len(text)]


class Sources:
    """Classes and functions by their full names: ``__torch__.package.Net``."""

    def __init__(self, records: Records, texts: dict[str, str]) -> None:
        """With the ``texts`` of modules that have been read already."""
        self.records = records
        self._texts = dict(texts)
        self._bodies: dict[str, str] = {}
        self._attributes: dict[str, dict[str, str]] = {}
        self._functions: dict[tuple[str, str], ast.FunctionDef | None] = {}
        self._unpacked = 0
        self._parsed = 0

    def attributes(self, name: str) -> dict[str, str]:
        """The types of a module's attributes; empty for what is no module."""
        if name not in self._attributes:
            head, _, _ = self._body(name)[:MAX_FUNCTION].partition("\n  def ")
            self._attributes[name] = {
                found[1] or found[2]: found[3] for found in _ATTRIBUTE.finditer(head)
            }
        return self._attributes[name]

    def method(self, owner: str, name: str) -> ast.FunctionDef | None:
        """A method of a module."""
        if (owner, name) not in self._functions:
            self._functions[owner, name] = self._function(self._body(owner), name, "  ")
        return self._functions[owner, name]

    def function(self, name: str) -> ast.FunctionDef | None:
        """A function of its own."""
        if ("", name) not in self._functions:
            module, _, short = name.rpartition(".")
            self._functions["", name] = self._function(self._text(module), short, "")
        return self._functions["", name]

    def _text(self, module: str) -> str:
        if module not in self._texts:
            try:
                left = _MAX_TEXT - self._unpacked
                self._texts[module] = text_of(self.records, record_of(module), left)
            except BrokenArchive:
                self._texts[module] = ""
            self._unpacked += len(self._texts[module])
        return self._texts[module]

    def _body(self, name: str) -> str:
        if name not in self._bodies:
            module, _, short = name.rpartition(".")
            body = class_of(self._text(module), short) or ""
            self._bodies[name] = body if body.startswith(f"class {short}(Module):") else ""
        return self._bodies[name]

    def _function(self, text: str, name: str, indent: str) -> ast.FunctionDef | None:
        begin = re.search(rf"^{indent}def {re.escape(name)}\(", text, re.MULTILINE)
        if begin is None:
            return None
        limit = begin.start() + MAX_FUNCTION
        end = re.compile(rf"^ {{0,{len(indent)}}}[^ \n]", re.MULTILINE).search(
            text, begin.end(), limit
        )
        if end is None and len(text) > limit:
            return None
        lines = text[begin.start() : end.start() if end else len(text)].split("\n")
        source = "\n".join(line.removeprefix(indent) for line in lines)
        self._parsed += len(source)
        if self._parsed > _MAX_PARSED or any(len(line) > _MAX_LINE for line in lines):
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = ast.parse(source).body[0]
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        return found if isinstance(found, ast.FunctionDef) else None
