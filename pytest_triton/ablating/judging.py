"""Words for what was measured: they follow from the intervals and the answers alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

Interval: TypeAlias = "Sequence[float]"

FASTER, SLOWER, NOTHING = "faster", "slower", "no effect shown"
NOISY, NO_CONTROL, NOT_MEASURED = "too noisy to tell", "no control", "not measured"
#: Cores that others may use while a row is measured; with more it is not judged.
BUSY = 0.25
#: High ÷ low of the control's 95 % interval; a wider one tells no effect from noise.
WIDTH = 1.5
#: The chance that luck alone gives any word of a table.
CHANCE = 0.05
#: Share of an output's largest value that rounding may take, by what computes. Of a file that
#: does not say, half precision inside has to be expected.
ROUNDING = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1, "": 2e-2}
#: A GPU may multiply float32 in TF32, which has the digits of float16.
ROUNDING_ON_GPU = {**ROUNDING, "float32": 5e-3}


def confidence(comparisons: int) -> float:
    """Of each interval that gives a word, so that CHANCE holds for all of them together."""
    return 1 - CHANCE / max(1, comparisons)


def of_throughput(interval: Interval, control: Interval = (1.0, 1.0)) -> str:
    """The word for a ratio to the base, where more is better; ``control`` is what the base
    itself reads as."""
    low, high = interval
    if low > max(1.0, control[1]):
        return FASTER
    return SLOWER if high < min(1.0, control[0]) else NOTHING


def of_latency(interval: Interval, control: Interval = (1.0, 1.0)) -> str:
    """The word for a ratio to the base, where less is better."""
    opposite = {FASTER: SLOWER, SLOWER: FASTER, NOTHING: NOTHING}
    return opposite[of_throughput(interval, control)]


def of_arm(words: Iterable[str], *, near: bool) -> str:
    """What an arm comes to, given the words for its throughput at every load.

    ``near``: its answers differ from the reference by no more than rounding. An arm that
    answers otherwise is no optimisation, however fast it is. Loads that judge nothing (noise,
    others on the machine, no control) have no say.
    """
    said = list(words)
    seen = {FASTER, SLOWER, NOTHING} & set(said)
    if not near:
        return "wrong answers: no optimisation"
    if not seen:
        return NO_CONTROL if said and set(said) == {NO_CONTROL} else NOISY
    if {FASTER, SLOWER} <= seen:
        return "faster at some loads, slower at others"
    if FASTER in seen:
        return "an optimisation" if set(said) == {FASTER} else "an optimisation at some loads"
    if SLOWER in seen:
        return "slower" if set(said) == {SLOWER} else "slower at some loads"
    return NOTHING


def wide(interval: Interval) -> bool:
    """Whether the control's 95 % interval is too wide to tell an effect from noise."""
    low, high = interval
    return not high <= WIDTH * low


def away(interval: Interval) -> bool:
    """Whether the control, which is the base itself, reads as another speed."""
    return of_throughput(interval) != NOTHING


def others(foreign_cpu: float) -> str:
    """The word of a row that others disturbed; "" where they did not."""
    return f"others used {foreign_cpu:.2f} cores: not judged" if foreign_cpu > BUSY else ""


def busy(rows: int, most: float) -> str:
    """What is said of ``rows`` that others disturbed, by ``most`` cores; "" for none."""
    if not rows:
        return ""
    return (
        f"Others used up to {most:.2f} cores while {rows} row{'s were' if rows > 1 else ' was'} "
        "measured, in bursts that an interval knows only in part: not judged. Measure again on "
        "a machine at rest."
    )


def noise(loads: Sequence[str]) -> str:
    """What is said where the control is wide or reads as another speed; "" for no such load."""
    if not loads:
        return ""
    return (
        "The machine was too noisy: the control is the base itself, and its interval is wide "
        f"or leaves 1 out at {'; '.join(loads)}. No arm is judged there: measure again with "
        "more --pairs, or on a machine at rest."
    )
