"""Half precision: behind a tie the reference's text is given, and the stream goes on from there.

Streams that left the reference at a tie say nothing about what comes after it. Asked again with
the reference's own text up to the tie, every token but the ties themselves is compared.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_triton.llama.equality import Compared, departure, other
from pytest_triton.llama.reference import Greedy
from pytest_triton.load.streams import TokenModel
from pytest_triton.load.tokens import StreamProtocol


def resume(
    model: TokenModel, protocol: StreamProtocol, prompts: Sequence[Sequence[int]],
    wanted: Sequence[Greedy], *, bound: float, concurrency: int, timeout: float,
) -> Compared:  # fmt: skip
    """Each text, so many at once, asked on behind every tie. One that fails is ``wrong``."""
    equal = ties = 0
    wrong: list[str] = []
    left = [(number, 0) for number in range(len(prompts))]
    while left:
        asked = [[*prompts[n], *wanted[n].tokens[:at]] for n, at in left]
        counts = [len(wanted[n].tokens) - at for n, at in left]
        streams = model.drive(
            protocol, asked, counts, concurrency=min(concurrency, len(left)),
            requests=len(left), timeout=timeout,
        )  # fmt: skip
        behind = []
        for stream in streams:
            number, at = left[stream.prompt]
            whole = wanted[number]
            rest = whole.part(at)
            if stream.error or len(stream.tokens) != len(rest.tokens):
                wrong.append(
                    f"stream {number}: "
                    + (stream.error or f"{len(stream.tokens)} of {len(rest.tokens)} tokens")
                )
            elif (here := departure(stream.tokens, rest)) is None:
                equal += len(rest.tokens)
            elif rest.below(here, stream.tokens[here]) <= bound:
                equal, ties = equal + here, ties + 1
                if at + here + 1 < len(whole.tokens):
                    behind.append((number, at + here + 1))
            else:
                equal += here
                wrong.append(other(number, at + here, stream.tokens[here], whole))
        left = behind
    total = sum(len(greedy.tokens) for greedy in wanted)
    return Compared(len(prompts), total, equal, ties, tuple(wrong))
