"""Words for what was measured: they follow from the intervals and the answers alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

FASTER, SLOWER, NOTHING = "faster", "slower", "no effect shown"
#: Cores that others may use, the median over all measurements, before it is said.
BUSY = 0.25
#: Share of an output's largest value that rounding may take, by what computes.
ROUNDING = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}
#: A GPU may multiply float32 in TF32, which has the digits of float16.
ROUNDING_ON_GPU = {**ROUNDING, "float32": 5e-3}


def of_throughput(interval: Sequence[float]) -> str:
    """The word for a ratio to the base, where more is better."""
    low, high = interval
    return FASTER if low > 1 else SLOWER if high < 1 else NOTHING


def of_latency(interval: Sequence[float]) -> str:
    """The word for a ratio to the base, where less is better."""
    low, high = interval
    return FASTER if high < 1 else SLOWER if low > 1 else NOTHING


def of_arm(words: Iterable[str], *, near: bool) -> str:
    """What an arm comes to over the loads, given the words for its throughput at those where
    the control shows no effect.

    ``near``: its answers differ from the reference by no more than rounding. An arm that
    answers otherwise is no optimisation, however fast it is.
    """
    seen = set(words)
    if not near:
        return "wrong answers: no optimisation"
    if not seen:
        return "too noisy to tell"
    if {FASTER, SLOWER} <= seen:
        return "faster at some loads, slower at others"
    if FASTER in seen:
        return "an optimisation" if seen == {FASTER} else "an optimisation at some loads"
    if SLOWER in seen:
        return "slower" if seen == {SLOWER} else "slower at some loads"
    return NOTHING


def noisy(throughput: Sequence[float], latency: Sequence[float]) -> bool:
    """Whether the control, which is the base itself, reads as another speed."""
    return of_throughput(throughput) != NOTHING or of_latency(latency) != NOTHING


def busy(foreign_cpu: float) -> str:
    """What is said of cores that others used meanwhile; "" for few."""
    if foreign_cpu <= BUSY:
        return ""
    return (
        f"Others used {foreign_cpu:.2f} cores while it was measured, in bursts that an interval "
        "knows only in part: measure again on a machine at rest before you believe an effect."
    )


def noise(loads: Sequence[str]) -> str:
    """What is said where the control reads as another speed at these loads; "" for none."""
    if not loads:
        return ""
    return (
        "The machine was too noisy: the control is the base itself, and reads as another speed "
        f"at {'; '.join(loads)}. No arm is judged by what it does there: measure again with "
        "more --pairs, or on a machine at rest."
    )
