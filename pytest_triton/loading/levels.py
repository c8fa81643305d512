"""The loads of a sweep, as people write them: ``8``, ``1,8,32`` or ``1:32:8`` as perf_analyzer."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_triton.errors import Misused

#: Levels of one sweep, at most.
_MOST = 1000


@dataclass(frozen=True, slots=True)
class Level:
    """One load: so many requests in flight, or so many planned a second."""

    concurrency: int | None = None
    rate: float | None = None

    @property
    def number(self) -> float:
        return float(self.concurrency if self.concurrency is not None else self.rate or 0)


def numbers(text: str, *, what: str) -> list[float]:
    """``start:end:step`` (step 1 where it is left out), or numbers with commas between them.

    Raises Misused for anything else, zero, and negative numbers.
    """
    example = f"write {what} like 8, 1,8,32 or 1:32:8 (start:end:step)"
    try:
        if ":" in text:
            parts = [float(part) for part in text.split(":")]
            start, end, step = (*parts, 1.0)[:3] if len(parts) in (2, 3) else (0.0, 0.0, 0.0)
        else:
            found = [float(part) for part in text.split(",")]
            start = end = step = 1.0
    except ValueError:
        raise Misused(f"{what} {text!r} is no number", example) from None
    if ":" in text:
        if not (all(map(math.isfinite, (start, end, step))) and 0 < start <= end and step > 0):
            raise Misused(f"{what} {text!r} is no range", example)
        if (end - start) / step >= _MOST:
            raise Misused(f"{what} {text!r} has more than {_MOST} levels", "use a larger step")
        found = [start + at * step for at in range(int((end - start) / step + 1e-9) + 1)]
    if not all(math.isfinite(one) and one > 0 for one in found):
        raise Misused(f"{what} {text!r} has to be above 0", example)
    return list(dict.fromkeys(found))


def concurrencies(text: str) -> list[Level]:
    """Levels of a closed loop. Raises Misused."""
    found = numbers(text, what="--concurrency")
    if any(one != int(one) for one in found):
        raise Misused(f"--concurrency {text!r} is no whole number", "requests in flight: 1, 2, …")
    return [Level(concurrency=int(one)) for one in found]


def rates(text: str) -> list[Level]:
    """Levels of an open loop, in requests a second. Raises Misused."""
    return [Level(rate=one) for one in numbers(text, what="--request-rate")]
