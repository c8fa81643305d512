"""When requests are to be sent: seconds after the start, whatever the server does meanwhile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from pytest_triton.errors import ToolError

Arrivals: TypeAlias = Literal["constant", "poisson"]
#: Planned requests of one run, at most.
_MOST = 20_000_000
#: Bytes of a trace file, at most.
_TRACE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """An open loop. ``times``: seconds from the start of the warm-up, rising; ``rate``: requests
    a second on average."""

    times: np.ndarray[Any, Any]
    rate: float
    arrivals: str


def constant(rate: float, seconds: float) -> Plan:
    """One request every 1 ÷ ``rate`` seconds, for so many seconds."""
    count = _count(rate, seconds)
    return Plan(np.arange(count) / rate, rate, "constant")


def poisson(rate: float, seconds: float, *, seed: int) -> Plan:
    """Independent arrivals, ``rate`` a second on average: the gaps are exponential."""
    count = _count(rate, seconds)
    rng = np.random.default_rng(seed)
    # enough for six standard deviations more than expected
    gaps = rng.exponential(1 / rate, count + 6 * math.isqrt(count) + 16)
    times = np.cumsum(gaps)
    return Plan(times[times < seconds], rate, "poisson")


def planned(arrivals: Arrivals, rate: float, seconds: float, *, seed: int = 0) -> Plan:
    """``constant`` or ``poisson``, by its name."""
    if arrivals == "constant":
        return constant(rate, seconds)
    if arrivals == "poisson":
        return poisson(rate, seconds, seed=seed)
    raise ValueError(f"arrivals are constant or poisson, not {arrivals!r}")


def trace(times: Sequence[float], *, what: str = "the trace") -> Plan:
    """Arrivals that were recorded: seconds, rising, the first one is the start.

    Raises ToolError where they are not.
    """
    found = np.asarray(times, np.float64)
    if found.ndim != 1 or not found.size:
        raise ToolError(f"{what} holds no times", "one time in seconds on each line")
    if not np.all(np.isfinite(found)):
        raise ToolError(f"{what} holds times that are no numbers", "seconds, e.g. 0.0125")
    if found.size > _MOST:
        raise ToolError(f"{what} holds {found.size} times", f"{_MOST} at most")
    back = np.flatnonzero(np.diff(found) < 0)
    if back.size:
        at = int(back[0]) + 1
        raise ToolError(f"{what} goes back at its time {at + 1}, {found[at]:g} s",
                        "sort it; seconds since any moment")  # fmt: skip
    times_s = found - found[0]
    length = float(times_s[-1])
    rate = (found.size - 1) / length if length > 0 else math.inf
    return Plan(times_s, rate, "trace")


def with_warmup(trace: Plan, warmup_s: float, duration_s: float | None) -> tuple[Plan, float]:
    """A trace (its first ``duration_s``, or all) behind a warm-up of the same mean rate, and the
    seconds of its window."""
    times = trace.times if duration_s is None else trace.times[trace.times < duration_s]
    # the last request is inside the window
    window = duration_s if duration_s is not None else float(times[-1]) + 1e-3
    before = (
        np.arange(0, warmup_s - 1e-3, 1 / trace.rate)
        if math.isfinite(trace.rate) and warmup_s
        else np.empty(0, np.float64)
    )
    return Plan(np.concatenate([before, times + warmup_s]), trace.rate, "trace"), window


def read_trace(path: Path) -> Plan:
    """A trace file: a time in seconds on each line (more columns and a header are left out).

    Raises ToolError with the line that is none.
    """
    try:
        size = path.stat().st_size
        if size > _TRACE_BYTES:
            raise ToolError(f"{path} has {size} bytes", f"a trace has {_TRACE_BYTES} at most")
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ToolError(f"{path} cannot be read: {error.strerror}", "name a trace file") from None
    except UnicodeDecodeError:
        raise ToolError(f"{path} is no text", "one time in seconds on each line") from None
    times: list[float] = []
    for number, line in enumerate(lines, 1):
        first = line.replace(";", ",").split(",")[0].strip()
        if not first or first.startswith("#"):
            continue
        try:
            times.append(float(first))
        except ValueError:
            if times or number > 1:
                raise ToolError(f"{path}:{number}: {first[:40]!r} is no time in seconds",
                                "one time in seconds on each line") from None  # fmt: skip
    return trace(times, what=str(path))


def _count(rate: float, seconds: float) -> int:
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"a request rate is a number above 0, not {rate!r}")
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"a duration is a number of seconds above 0, not {seconds!r}")
    if rate * seconds > _MOST:
        raise ValueError(f"{rate:g} requests/s for {seconds:g} s are more than {_MOST} requests")
    return max(1, math.ceil(rate * seconds - 1e-9))
