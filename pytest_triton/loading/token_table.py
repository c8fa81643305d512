"""Levels of token streams as a table, and what the whole of them says."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytest_triton.load.trust import OCCUPIED
from pytest_triton.loading.streaming import Ready, Streamed
from pytest_triton.loading.sweep import KNEE
from pytest_triton.loading.table import ms

_COLUMNS = (
    "TTFT p50", "TTFT p95", "ITL p50", "ITL p95", "latency p95", "tokens/s", "per user",
    "requests/s", "errors",
)  # fmt: skip


def head(closed: bool) -> str:
    """The first line."""
    load = f"{'concurrency' if closed else 'planned/s':>11}"
    return load + "".join(f"{name:>{_width(name)}}" for name in _COLUMNS)


def row(streamed: Streamed) -> str:
    """One level."""
    run, result = streamed.run, streamed.measured.result
    times = (run.ttft_ms.p50, run.ttft_ms.p95, run.itl_ms.p50, run.itl_ms.p95, run.latency_ms.p95)
    cells = [ms(value) for value in times]
    cells += [_rate(run.tps), _rate(run.tps_per_user), _rate(result.throughput_rps)]
    cells.append(str(result.errors + result.wrong))
    return f"{streamed.measured.level.number:>11g}" + "".join(
        f"{cell:>{_width(name)}}" for name, cell in zip(_COLUMNS, cells, strict=True)
    )


def conclusion(made: Sequence[Streamed], ready: Ready) -> str:
    """One line: the knee of tokens a second, contents, and what others used of the machine."""
    good = [one for one in made if one.run.tps > 0]
    if not good:
        return "no whole stream at any level"
    parts = []
    closed = [one for one in good if one.measured.level.concurrency is not None]
    if len(closed) > 1:
        best = max(one.run.tps for one in closed)
        knee = next(one for one in closed if one.run.tps >= KNEE * best)
        at = f"concurrency {knee.measured.level.concurrency}"
        parts.append(f"no knee up to {at}" if knee is closed[-1] else f"knee at {at}")
    if any(one.measured.result.client_busy > OCCUPIED for one in good):
        parts.append("limited by this client: load from several machines")
    results = [one.measured.result for one in made]
    if ready.uncompared:
        parts.append(f"contents are not compared: {ready.uncompared}")
    else:
        checked, whole = sum(one.checked for one in results), sum(map(_whole, made))
        parts.append(f"{checked} of {whole} streams compared with what they were alone")
    foreign = [result.foreign_cpu for result in results]
    known = all(map(math.isfinite, foreign))
    parts.append(f"foreign load {max(foreign):.2f} cores at most" if known
                 else "foreign load unknown")  # fmt: skip
    return " · ".join(parts)


def _whole(streamed: Streamed) -> int:
    return streamed.measured.result.requests - streamed.measured.result.errors


def _rate(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:,.0f}".replace(",", " ") if value >= 100 else f"{value:.1f}"


def _width(name: str) -> int:
    return max(len(name), 7) + 2
