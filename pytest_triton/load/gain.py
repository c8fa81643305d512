"""How much faster B is than A, measured in ABBA order so that drift favours neither."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from pytest_triton.load.result import LoadResult
from pytest_triton.load.serverside import Reading
from pytest_triton.load.stats import Verdict, ratio_interval

Run: TypeAlias = "Callable[[], LoadResult | float]"


@dataclass(frozen=True)
class Gain:
    """Throughput of B ÷ throughput of A.

    ``values``: the ratio of each pair, in order of time; ``mean``: their geometric mean;
    ``interval``: Student's t on their logarithms (95 %); ``a`` and ``b``: requests per second.
    """

    values: tuple[float, ...]
    median: float
    mean: float
    interval: tuple[float, float]
    a: tuple[float, ...]
    b: tuple[float, ...]
    foreign_cpu: tuple[float, ...] = ()
    #: What the server counted in all runs of a side, where it was asked.
    served_a: Reading = field(default_factory=Reading)
    served_b: Reading = field(default_factory=Reading)

    def judge(self, *, at_least: float, low_above: float | None = None) -> Verdict:
        """Pass when the median reaches ``at_least`` and the interval's lower end lies above
        ``low_above``; fail when the whole interval lies below ``at_least``."""
        low, high = self.interval
        if self.median >= at_least and low > (at_least if low_above is None else low_above):
            return "pass"
        return "fail" if high < at_least else "inconclusive"

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.median:.2f}× [{low:.2f}, {high:.2f}], {len(self.values)} pairs"


def abba(
    run_a: Run,
    run_b: Run,
    *,
    pairs: int = 4,
    looks: int = 1,
    enough: Callable[[Gain], bool] = lambda gain: True,
    confidence: float = 0.95,
    progress: Callable[[str], None] | None = None,
) -> Gain:
    """Run A B, B A, A B, …: ``pairs`` pairs, each in the opposite order of the one before.

    On a noisy machine more are measured: after every ``pairs`` pairs ``enough`` is asked, up
    to ``looks`` times. The chance to be wrong, 1 - ``confidence``, is shared among the looks.
    A run gives requests per second or a LoadResult, whose errors or wrong answers are
    refused (AssertionError): a server that answers wrongly can be very fast.
    """
    if pairs < 1 or looks < 1:
        raise ValueError("abba needs at least one pair and one look")
    rates: dict[str, list[float]] = {"a": [], "b": []}
    served = {"a": Reading(), "b": Reading()}
    foreign: list[float] = []
    each = 1 - (1 - confidence) / looks
    for look in range(looks):
        for pair in range(look * pairs, (look + 1) * pairs):
            if progress:
                progress(f"pair {pair + 1} of {(look + 1) * pairs}")
            for side in ("ab", "ba")[pair % 2]:
                found = (run_a if side == "a" else run_b)()
                if isinstance(found, LoadResult):
                    _refuse_errors(found, side.upper())
                    foreign.append(found.foreign_cpu)
                    rates[side].append(found.throughput_rps)
                    served[side] = served[side] + (found.served or Reading())
                else:
                    rates[side].append(float(found))
        gain = _gain(rates["a"], rates["b"], foreign, each)
        if enough(gain):
            break
    return replace(gain, served_a=served["a"], served_b=served["b"])


def _gain(a: Sequence[float], b: Sequence[float], foreign: Sequence[float], sure: float) -> Gain:
    mean, low, high = ratio_interval(b, a, confidence=sure)
    values = tuple(two / one for one, two in zip(a, b, strict=True))
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] * ordered[middle]) ** 0.5
    return Gain(values, median, mean, (low, high), tuple(a), tuple(b), tuple(foreign))


def _refuse_errors(result: LoadResult, side: str) -> None:
    if result.errors or result.wrong:
        texts = (result.error_texts + result.wrong_texts).most_common(2)
        told = "; ".join(f"{n}× {text}" for text, n in texts)
        raise AssertionError(f"run {side} has {result.errors + result.wrong} bad answers: {told}")
    if result.throughput_rps <= 0:
        raise AssertionError(f"run {side} got no answer within its window")
