"""Budgets as a test writes them: checked before anything is measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}
#: No request crosses a socket in less: who writes this has written seconds.
_LEAST_MS = 0.05
_UNITLESS = {"latency", "mean", *PERCENTILES}
_RATES = {"rps", "throughput", "qps"}


@dataclass(frozen=True, slots=True)
class Asked:
    """Latencies in ms and as multiples of another run's, by percentile; ``throughput_rps`` at
    least and ``error_rate`` at most, None where nothing was asked."""

    latency_ms: Mapping[float, float]
    latency_times: Mapping[float, float]
    throughput_rps: float | None = None
    error_rate: float | None = None


def asked(budgets: Mapping[str, Any], *, relative: bool = False) -> Asked:
    """Read ``p95_ms=40``, ``p95_times=1.5``, ``throughput_rps=500``, ``error_rate=0``.

    Raises ValueError with the name and the remedy for a budget that cannot be meant: no
    number, true or false, zero, negative, NaN or infinite, without a unit, a share above 1,
    a multiple without a run that it is of. TypeError for a name that is no budget.
    """
    given = {name: value for name, value in budgets.items() if value is not None}
    if not given:
        raise ValueError("no budget was given: say e.g. p95_ms=40, error_rate=0")
    ms: dict[float, float] = {}
    times: dict[float, float] = {}
    rate: float | None = None
    errors: float | None = None
    for name, value in given.items():
        percentile, _, unit = name.partition("_")
        if name == "error_rate":
            errors = _number(name, value, "0 for none, 0.01 for 1 %", zero=True)
            if errors >= 1:
                raise ValueError(f"error_rate={value!r}: a share below 1; 5 % is 0.05")
        elif name == "throughput_rps":
            rate = _number(name, value, "requests a second, at least: throughput_rps=500")
        elif percentile in PERCENTILES and unit == "ms":
            found = _number(name, value, f"milliseconds: {name}=40")
            if found < _LEAST_MS:
                raise ValueError(
                    f"{name}={value!r} is {found * 1e3:g} microseconds: "
                    f"{found:g} seconds are {name}={found * 1e3:g}"
                )
            ms[PERCENTILES[percentile]] = found
        elif percentile in PERCENTILES and unit == "times":
            times[PERCENTILES[percentile]] = _number(name, value, f"a multiple: {name}=1.5")
        elif name in _UNITLESS:
            unitless = name if name in PERCENTILES else "p95"
            raise ValueError(f"{name}={value!r} has no unit: write {unitless}_ms, in milliseconds")
        elif name in _RATES:
            raise ValueError(f"{name}={value!r} has no unit: write throughput_rps")
        else:
            raise TypeError(f"{name!r} is no budget: there are {', '.join(NAMES)}")
    if times and not relative:
        raise ValueError(
            f"{_names(times)} needs the run that it is a multiple of: of=run, both out of "
            "triton_load.beside(model, calibration)"
        )
    if relative and not times:
        raise ValueError("of=run is the run that a multiple is of: say e.g. p95_times=1.5")
    return Asked(ms, times, rate, errors)


def _names(times: Mapping[float, float]) -> str:
    return ", ".join(f"{name}_times" for name, q in PERCENTILES.items() if q in times)


def _number(name: str, value: Any, meaning: str, *, zero: bool = False) -> float:
    told = f"{name}={value!r}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{told} is no number: write {meaning}")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{told} is not finite: write {meaning}")
    if number < 0 or (number == 0 and not zero):
        raise ValueError(f"{told} is not above 0: write {meaning}")
    return number


#: Every budget that can be named.
NAMES = (
    *(f"{name}_ms" for name in PERCENTILES),
    *(f"{name}_times" for name in PERCENTILES),
    "throughput_rps",
    "error_rate",
)
