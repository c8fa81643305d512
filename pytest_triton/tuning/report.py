"""A search as JSON and as lines for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from pytest_triton.load.paired import told
from pytest_triton.tuning.candidates import Candidate
from pytest_triton.tuning.searching import Asked, Point, Tuned


def to_json(made: Tuned, asked: Asked) -> dict[str, Any]:
    """Every number, the pairs too."""
    mean, low, high = made.gain
    return {
        "model": made.model,
        "concurrency": asked.concurrency,
        "p95_ms": asked.p95_ms,
        "seconds": asked.seconds,
        "before": _candidate(made.before),
        "best": _candidate(made.best),
        "gain": {"mean": mean, "interval": [low, high]},
        "trials": [
            {
                "stage": trial.stage, "candidate": _candidate(trial.candidate),
                "against": _candidate(trial.against), "throughput": trial.throughput,
                "interval": [_finite(end) for end in trial.interval], "pairs": list(trial.pairs),
                "latency": trial.latency, "p95_ms": _finite(trial.p95_ms),
                "mean_batch": _finite(trial.mean_batch), "taken": trial.taken, "why": trial.why,
            }
            for trial in made.trials
        ],
        "refused": [{"candidate": _candidate(one), "why": why} for one, why in made.refused],
        "curves": {
            name: [_point(point) for point in points] for name, points in made.curves.items()
        },
    }  # fmt: skip


def table(made: dict[str, Any]) -> Iterator[str]:
    """What was tried, what was taken, and what it comes to."""
    width = max([len(trial["candidate"]["title"]) for trial in made["trials"]] + [20])
    yield (f"{'setting':<10}{'tried':<{width + 2}}{'throughput ÷ best so far':<26}"
           f"{'p95 ms':>8}{'batch':>7}  ")  # fmt: skip
    for trial in made["trials"]:
        yield (
            f"{trial['stage']:<10}{trial['candidate']['title']:<{width + 2}}"
            f"{told(trial['throughput'], trial['interval']):<26}"
            f"{_number(trial['p95_ms']):>8}{_number(trial['mean_batch']):>7}  {trial['why']}"
        )
    for refused in made["refused"]:
        yield f"refused   {refused['candidate']['title']}: {refused['why']}"
    yield ""
    yield f"{'concurrency':>11}{'before, infer/s':>17}{'p95 ms':>9}{'after, infer/s':>17}{'p95 ms':>9}"
    after = made["curves"].get("after") or [None] * len(made["curves"]["before"])
    for one, two in zip(made["curves"]["before"], after, strict=True):
        line = f"{one['concurrency']:>11}{one['rps']:>17.0f}{_number(one['p95_ms']):>9}"
        yield line + (f"{two['rps']:>17.0f}{_number(two['p95_ms']):>9}" if two else "")
    yield ""
    if made["best"] == made["before"]:
        yield f"the configuration stays: {made['before']['title']}; nothing was better beyond noise"
        return
    gain = told(made["gain"]["mean"], made["gain"]["interval"])
    yield f"best: {made['best']['title']}, {gain} times the throughput of {made['before']['title']}"
    yield from ("  " + line for line in made["best"]["snippet"].splitlines())


def _candidate(one: Candidate) -> dict[str, Any]:
    return {
        "title": one.title, "instances": one.instances, "batching": one.batching,
        "delay_us": one.delay_us, "preferred": list(one.preferred), "snippet": one.snippet(),
    }  # fmt: skip


def _point(point: Point) -> dict[str, Any]:
    return {
        "concurrency": point.concurrency, "rps": point.rps, "p50_ms": _finite(point.p50_ms),
        "p95_ms": _finite(point.p95_ms), "mean_batch": _finite(point.mean_batch),
    }  # fmt: skip


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
