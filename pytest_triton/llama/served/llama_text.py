"""The text of a stream, token by token: what is sent is never taken back."""

from __future__ import annotations

from typing import Any

#: What a tokenizer writes for bytes that are no whole character yet.
_HALF = "\ufffd"


class Text:
    """The text of one stream. Its pieces, put together, are what decoding all at once gives.

    Each token is decoded together with those of the piece before it, which say whether a space
    comes in front, and not with the whole text.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._before: list[int] = []
        self._tokens: list[int] = []

    def more(self, token: int, *, last: bool) -> str:
        """What a token adds; "" while a character is not whole. ``last`` holds nothing back."""
        self._tokens.append(token)
        known = self._decode(self._before)
        text = self._decode([*self._before, *self._tokens])
        if text.endswith(_HALF) and not last:
            return ""
        if len(text) > len(known):
            self._before, self._tokens = self._tokens, []
        return text[len(known) :]

    def _decode(self, tokens: list[int]) -> str:
        return str(
            self._tokenizer.decode(
                tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )
