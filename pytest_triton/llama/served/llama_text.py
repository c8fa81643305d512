"""The text of a stream, token by token: what is sent is never taken back."""

from __future__ import annotations

from typing import Any

#: What a tokenizer writes for bytes that are no whole character yet.
_HALF = "\ufffd"


class Text:
    """The text of one stream. Its pieces, put together, are what decoding all at once gives."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._sent = ""

    def more(self, token: int, *, last: bool) -> str:
        """What a token adds; "" while a character is not whole. ``last`` holds nothing back."""
        self._tokens.append(token)
        text = str(
            self._tokenizer.decode(
                self._tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )
        if text.endswith(_HALF) and not last:
            return ""
        piece = text[len(self._sent) :]
        self._sent = text
        return piece
