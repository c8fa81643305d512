"""Whether a stream says what the reference says.

The order of additions decides where two logits are nearly equal, and after the first other token
two texts have nothing to do with each other: streams are equal up to the first position at which
the reference itself was undecided between its token and the one that came. How near that is, the
reference shows: twice the most that it changes its mind by when it computes the same texts at
once, or two steps of the data type at its largest logit. In FP32 that is about 1e-5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_triton.llama.reference import Greedy

#: Distance of two neighbouring numbers at 1.
STEP = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def bound_of(wanted: Sequence[Greedy], dtype: str) -> float:
    """Difference of two logits below which either may win."""
    noise = max((greedy.noise for greedy in wanted), default=0.0)
    scale = max((greedy.scale for greedy in wanted), default=0.0)
    return 2 * max(noise, STEP[dtype] * scale)


@dataclass(frozen=True, slots=True)
class Compared:
    """Several streams against the reference.

    ``tokens``: that were compared; ``equal``: of them, up to each stream's first other one;
    ``ties``: streams that left the reference where it was undecided itself; ``wrong``: one
    line for each stream that left it elsewhere.
    """

    streams: int
    tokens: int
    equal: int
    ties: int
    wrong: tuple[str, ...]

    @property
    def share(self) -> float:
        """Equal tokens among all."""
        return self.equal / self.tokens if self.tokens else 0.0


def compare(got: Sequence[Sequence[int]], wanted: Sequence[Greedy], *, bound: float) -> Compared:
    """Compare streams, one for each answer of the reference, which says what it should be."""
    if len(got) != len(wanted):
        raise ValueError(f"{len(got)} streams and {len(wanted)} answers of the reference")
    equal = ties = 0
    wrong: list[str] = []
    for number, (tokens, greedy) in enumerate(zip(got, wanted, strict=True)):
        at = departure(tokens, greedy)
        equal += at if at is not None else min(len(tokens), len(greedy.tokens))
        tie = at is not None and greedy.below(at, tokens[at]) <= bound
        ties += tie
        if at is not None and not tie:
            wrong.append(other(number, at, tokens[at], greedy))
        elif len(tokens) != len(greedy.tokens):
            wrong.append(f"stream {number}: {len(tokens)} of {len(greedy.tokens)} tokens")
    total = sum(len(greedy.tokens) for greedy in wanted)
    return Compared(len(got), total, equal, ties, tuple(wrong))


def departure(tokens: Sequence[int], greedy: Greedy) -> int | None:
    """The first position that has another token; None: there is none."""
    pairs = enumerate(zip(tokens, greedy.tokens, strict=False))
    return next((at for at, (one, two) in pairs if one != two), None)


def other(number: int, at: int, token: int, greedy: Greedy) -> str:
    """What is wrong with a token, for people."""
    by = f"{greedy.below(at, token):.3g}" + ("" if token in greedy.behind[at] else " or more")
    return f"stream {number}: token {at} is {token}, the reference says {greedy.tokens[at]} by {by}"
