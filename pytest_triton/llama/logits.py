"""The TorchScript form: the next token of every prefix of the reference's text.

Each prefix is asked by itself, so one wrong token hides no other one; where every next token is
right, so is the text that follows from them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import local

import numpy as np

from pytest_triton.llama.building import LOGITS
from pytest_triton.llama.equality import Compared, other
from pytest_triton.llama.reference import Greedy
from pytest_triton.probe.http import HttpProbe

#: Requests at once.
_THREADS = 4
#: Seconds for one forward of a long prefix on a slow machine.
_TIMEOUT = 120.0


def next_tokens(
    http_url: str, prompts: Sequence[Sequence[int]], wanted: Sequence[Greedy], *, bound: float,
    say: Callable[[str], None],
) -> Compared:  # fmt: skip
    """Ask for the logits after each prefix and compare their largest with the reference."""
    asked = [
        (number, at, [*prompt, *greedy.tokens[:at]])
        for number, (prompt, greedy) in enumerate(zip(prompts, wanted, strict=True))
        for at in range(len(greedy.tokens))
    ]
    own = local()
    probes: list[HttpProbe] = []

    def ask(ids: Sequence[int]) -> int:
        if not hasattr(own, "probe"):
            own.probe = HttpProbe(http_url)
            probes.append(own.probe)
        row = np.array([ids], np.int64)
        answer = own.probe.infer(
            LOGITS, {"input_ids": row, "attention_mask": np.ones_like(row)}, timeout=_TIMEOUT
        )
        return int(answer.outputs["logits"][0].argmax())

    say(f"asking {LOGITS} for {len(asked)} next tokens")
    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            got = list(pool.map(lambda each: ask(each[2]), asked))
    finally:
        for probe in probes:
            with closing(probe):
                pass
    equal = ties = 0
    wrong: list[str] = []
    for (number, at, _), token in zip(asked, got, strict=True):
        greedy = wanted[number]
        if token == greedy.tokens[at]:
            equal += 1
        elif greedy.below(at, token) <= bound:
            ties += 1
        else:
            wrong.append(other(number, at, token, greedy))
    return Compared(len(prompts), len(asked), equal, ties, tuple(wrong))
