"""Text in and out: what the stream writes is what its tokens are, decoded all at once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from pytest_triton.errors import Misused, ToolError
from pytest_triton.llama.building import STREAM
from pytest_triton.llama.checkpoint import has_tokenizer
from pytest_triton.llama.result import Check
from pytest_triton.llama.served.llama_weights import tokenizer
from pytest_triton.probe.http import HttpProbe

#: Seconds for one text.
_TIMEOUT = 300.0
TITLE = "text out is the tokens, text in the prompt"


class Words:
    """The tokenizer of a directory. Raises Misused where there is none."""

    def __init__(self, directory: Path | None) -> None:
        if directory is None or not has_tokenizer(directory):
            where = f"{directory} has no tokenizer.json and no tokenizer.model"
            raise Misused(
                where if directory else "random weights have no tokenizer",
                "leave --prompt out: prompts of random tokens need none; or copy the tokenizer's "
                "files beside the weights",
            )
        try:
            self._tokenizer: Any = tokenizer(str(directory))
        except Exception as error:  # many kinds, of several libraries
            raise ToolError(
                f"the tokenizer in {directory} cannot be read: {type(error).__name__}: {error}",
                "copy its files again, or take them away: tokens can be asked for without it",
            ) from None

    def encode(self, text: str) -> list[int]:
        """Token ids, special ones in front included. Raises Misused for a text without any."""
        ids = [int(token) for token in self._tokenizer(text)["input_ids"]]
        if not ids:
            raise Misused(f"the prompt {text!r} has no tokens", "give a longer one")
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, special ones left out."""
        return str(
            self._tokenizer.decode(
                list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )


def text_check(http_url: str, words: Words, prompts: Sequence[str], count: int) -> Check:
    """Ask by text and by its token ids: the same tokens, and the text that they are."""
    with closing(HttpProbe(http_url)) as http:
        for prompt in prompts:
            by_text = _ask(http, {"text_input": prompt}, count)
            by_ids = _ask(http, {"input_ids": words.encode(prompt)}, count)
            wanted = words.decode(by_text[0])
            if len(by_text[0]) != count:
                reason = f"{prompt!r} is answered by {len(by_text[0])} of {count} tokens"
            elif by_text[0] != by_ids[0]:
                reason = f"{prompt!r} gives other tokens than its token ids"
            elif by_text[1] != wanted:
                reason = f"the text is {by_text[1]!r:.120}, its tokens are {wanted!r:.120}"
            else:
                continue
            return Check("text", TITLE, "fail", reason)
    return Check("text", TITLE, "pass", f"{len(prompts)} texts, such as {wanted!r:.80}")


def _ask(http: HttpProbe, given: dict[str, Any], count: int) -> tuple[list[int], str]:
    tokens: list[int] = []
    text = ""
    asked = {**given, "max_tokens": count, "ignore_eos": True}
    for answer in http.generate_stream(STREAM, asked, timeout=_TIMEOUT):
        tokens.append(int(answer["token_ids"]))
        text += str(answer.get("text_output", ""))
    return tokens, text
