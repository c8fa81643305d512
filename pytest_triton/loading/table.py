"""The sweep as a table that reads like perf_analyzer's, row by row."""

from __future__ import annotations

import math

from pytest_triton.load.records import Record
from pytest_triton.loading.sweep import Measured

_COLUMNS = (
    "infer/s",
    "p50",
    "p90",
    "p95",
    "p99",
    "queue",
    "compute",
    "other",
    "mean batch",
    "errors",
)


def head(closed: bool) -> str:
    """The first line."""
    load = f"{'concurrency' if closed else 'requests/s':>11}"
    return load + "".join(f"{name:>{_width(name)}}" for name in _COLUMNS)


def analyzed_row(record: Record) -> str:
    """A level that another engine measured."""
    latency = record.latency_us
    cells = [f"{record.more['inferences_per_s']:,.0f}".replace(",", " ")]
    cells += [ms(latency[f"p{q}"] / 1e3) for q in (50, 90, 95, 99)]
    queue = record.server["queue_us"] / latency["mean"]
    compute = sum(
        record.server[f"compute_{part}_us"] for part in ("input", "infer", "output")
    ) / latency["mean"]  # fmt: skip
    cells += [_share(queue), _share(compute), _share(1 - queue - compute)]
    cells += [f"{record.server['mean_batch']:.1f}", str(record.errors)]
    return _line(record.concurrency or record.request_rate or 0.0, cells)


def row(measured: Measured) -> str:
    """One level. Shares are of the client's mean latency."""
    result = measured.result
    mean_us = float(result.latency_us.mean()) if len(result.latency_us) else math.nan
    cells = [f"{result.inferences:,.0f}".replace(",", " ")]
    cells += [ms(result.percentile_ms(q)) for q in (50, 90, 95, 99)]
    served = result.served
    if served is None or not served.success or math.isnan(mean_us):
        cells += ["–", "–", "–", "–"]
    else:
        queue = served.stages_ns["queue"] / 1e3 / served.success / mean_us
        compute = (
            sum(ns for name, ns in served.stages_ns.items() if name != "queue")
            / 1e3 / served.success / mean_us
        )  # fmt: skip
        cells += [_share(queue), _share(compute), _share(1 - queue - compute)]
        cells.append("–" if math.isnan(served.mean_batch) else f"{served.mean_batch:.1f}")
    cells.append(str(result.errors + result.wrong))
    return _line(measured.level.number, cells)


def _line(number: float, cells: list[str]) -> str:
    return f"{f'{number:g}':>11}" + "".join(
        f"{cell:>{_width(name)}}" for name, cell in zip(_COLUMNS, cells, strict=True)
    )


def _width(name: str) -> int:
    return max(len(name), 7) + 2


def ms(value: float) -> str:
    """Milliseconds in a cell."""
    if math.isnan(value):
        return "–"
    return (
        f"{value:.2f} ms"[:9]
        if value < 10
        else f"{value:.1f} ms"
        if value < 100
        else f"{value:.0f} ms"
    )


def _share(value: float) -> str:
    return f"{min(max(value, 0.0), 1.0):.0%}".replace("%", " %")


def remarks(measured: Measured) -> list[str]:
    """What is wrong with a level: doubts, errors and wrong answers."""
    result, load = measured.result, f"{measured.level.number:g}"
    lines = [f"at {load}: not to be believed: {text}" for text in result.doubts]
    if result.lateness:
        lines.append(f"at {load}: latencies are not the server's alone: {result.lateness}")
    lines += [f"at {load}: {n}× {text}" for text, n in result.error_texts.most_common(3)]
    lines += [
        f"at {load}: {n} of {result.checked} checked answers are wrong: {text}"
        for text, n in result.wrong_texts.most_common(3)
    ]
    return lines
