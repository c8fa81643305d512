"""Whether a stream says what the reference says.

In FP32 every token has to be equal. In half precision the order of additions decides where two
logits are nearly equal, and after the first other token the two texts have nothing to do with
each other: then the tokens are equal up to the first position at which the two best logits of
the reference differ by less than a stated bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_triton.llama.reference import Greedy

#: Difference of the two best logits below which either may win. In FP32 none is excused. In
#: half precision: rounding of sums as long as a row is wide, seen up to 0.06 in BF16.
BOUNDS = {"float32": 0.0, "float16": 0.05, "bfloat16": 0.25}


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
        pairs = enumerate(zip(tokens, greedy.tokens, strict=False))
        at = next((at for at, (one, two) in pairs if one != two), None)
        if at is None:
            shorter = min(len(tokens), len(greedy.tokens))
            equal += shorter
            if len(tokens) != len(greedy.tokens):
                wrong.append(f"stream {number}: {len(tokens)} of {len(greedy.tokens)} tokens")
            continue
        equal += at
        if greedy.gaps[at] < bound:
            ties += 1
            if len(tokens) != len(greedy.tokens):
                wrong.append(f"stream {number}: {len(tokens)} of {len(greedy.tokens)} tokens")
        else:
            wrong.append(
                f"stream {number}: token {at} is {tokens[at]}, the reference says "
                f"{greedy.tokens[at]} by {greedy.gaps[at]:.3g}"
            )
    total = sum(len(greedy.tokens) for greedy in wanted)
    return Compared(len(got), total, equal, ties, tuple(wrong))
