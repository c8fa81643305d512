"""What a user gave in headers, taken out of what a server says.

A long value is a credential wherever it turns up. A short one may be an ordinary word, or a
number that every answer has: it is hidden where it stands as that header's value, as a whole
string of JSON, and, unless it may be an ordinary word, as a word of its own.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_triton.probe.repeating import SECRET

HIDDEN = "***"
#: Characters from which on a value is a credential, wherever it turns up.
_CREDENTIAL = 12
#: Characters below which a value is hidden as the value of its header alone.
_SHORT = 4
#: First words of a header that name a scheme and hide nothing.
_SCHEMES = frozenset({"basic", "bearer", "digest", "negotiate", "token", "apikey", "key"})
#: What may stand between a header's name and its value in a text, also within JSON in JSON.
_BETWEEN = r"[\"'\\\s:=\[({,>]{1,12}"
#: Fields of messages whose bytes are written as base64.
_BYTES = frozenset({"raw_output_contents", "raw_input_contents", "bytes_contents", "base64"})
#: Headers of every answer; a short value equals one of theirs by chance.
_OWN = frozenset({
    "content-length", "content-type", "content-encoding", "connection", "keep-alive",
    "transfer-encoding", "inference-header-content-length",
})  # fmt: skip


class Hiding:
    """Hides the values of ``private`` headers. What was ``sent`` openly too is no secret."""

    def __init__(self, private: Mapping[str, str], *sent: bytes) -> None:
        self._values = {value.strip() for value in private.values() if value.strip()}
        patterns = list(_patterns(private, sent))
        self._text = [re.compile(pattern) for pattern in patterns]
        self._data = [re.compile(pattern.encode("utf-8", "replace")) for pattern in patterns]

    def text(self, text: str) -> str:
        """A text without them."""
        for pattern in self._text:
            text = pattern.sub(lambda match: f"{match[1]}{HIDDEN}", text)
        return text

    def data(self, data: bytes) -> bytes:
        """Bytes without them."""
        for pattern in self._data:
            data = pattern.sub(lambda match: match[1] + HIDDEN.encode(), data)
        return data

    def header(self, name: str, value: str) -> str:
        """The value of an answer's header."""
        if value.strip() in self._values and name.lower() not in _OWN:
            return HIDDEN
        return self.text(value)

    def walked(self, value: Any, key: str = "") -> Any:
        """Plain data without them: of a message, whose bytes are base64."""
        if isinstance(value, dict):
            return {name: self.walked(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self.walked(item, key) for item in value]
        if not isinstance(value, str):
            return value
        if key in _BYTES:
            return self._base64(value)
        # With its key and its quotes, as the patterns know it from JSON.
        start = f'"{key}": "'
        shown = self.text(f'{start}{value}"')
        return shown[len(start) : -1] if shown.startswith(start) else HIDDEN

    def _base64(self, value: str) -> str:
        try:
            data = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return self.text(value)
        shown = self.data(data)
        return value if shown == data else base64.b64encode(shown).decode("ascii")


def _patterns(private: Mapping[str, str], sent: tuple[bytes, ...]) -> Iterator[str]:
    """Patterns of what to hide, longest first; the first group of each stays."""
    found: set[tuple[int, str]] = set()
    for name, value in private.items():
        words = [word for word in value.split() if word.lower() not in _SCHEMES]
        for part in {value.strip(), *words} - {""}:
            said = re.escape(part)
            spelled = "[-_]".join(re.escape(piece) for piece in re.split("[-_]", name))
            ends = r"(?![\w-])"
            found.add((len(part), f"((?i:{spelled}){_BETWEEN}){said}{ends}"))
            if any(part.encode("utf-8", "replace") in data for data in sent):
                continue
            if len(part) >= _CREDENTIAL:
                found.add((len(part), f"(){said}"))
            elif len(part) >= _SHORT:
                found.add((len(part), rf"([\"']){said}(?=\\?[\"'])"))
                if SECRET.search(name) or not (part.isalpha() or part.isdigit()):
                    found.add((len(part), rf"()(?<![\w-]){said}{ends}"))
    yield from (pattern for _, pattern in sorted(found, reverse=True))
