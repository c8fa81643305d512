"""The check of text, on answers that are made up."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_triton.llama import words


class _Letters(words.Words):
    """Token n is the n-th letter."""

    def __init__(self) -> None:
        pass

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, tokens: Any) -> str:
        return "".join(map(chr, tokens))


@pytest.mark.parametrize(
    ("by_text", "by_ids", "said"),
    [
        (([104, 105], "hi"), ([104, 105], "hi"), ""),
        (([], ""), ([], ""), "answered by 0 of 2 tokens"),
        (([104], "h"), ([104], "h"), "answered by 1 of 2 tokens"),
        (([104, 105], "hi"), ([104, 106], "hj"), "gives other tokens than its token ids"),
        (([104, 105], "h"), ([104, 105], "h"), "the text is 'h', its tokens are 'hi'"),
        (([104, 105], "h i"), ([104, 105], "hi"), "the text is 'h i'"),
    ],
)
def test_text_and_tokens(
    monkeypatch: pytest.MonkeyPatch, by_text: Any, by_ids: Any, said: str
) -> None:
    def ask(http: object, given: dict[str, Any], count: int) -> Any:
        return by_text if "text_input" in given else by_ids

    monkeypatch.setattr(words, "_ask", ask)
    check = words.text_check("http://127.0.0.1:9", _Letters(), ["x"], 2)
    assert check.status == ("fail" if said else "pass")
    assert said in check.reason
