"""Whole reports of simulated runs: latencies that depend on their neighbours, in runs that differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pytest_triton.baseline.loaded import Loaded
from pytest_triton.baseline.statistic import interval_of
from pytest_triton.series import Series


def clause(name: str, measurements: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """An entry of report.json, as far as a comparison reads it."""
    made = {
        "id": name, "title": name, "status": "pass", "reason_code": None, "reason": "",
        "model": None, "measurements": list(measurements), "evidence": [],
    }  # fmt: skip
    return made | more


def report(clauses: Sequence[dict[str, Any]], **machine: Any) -> dict[str, Any]:
    """As much of report.json as a comparison reads."""
    return {
        "complete": True,
        "suite": {"version": "1"},
        "run": {"settings": {"launcher": "embedded"}, "tier": "basic", "scope": []},
        "subject": {"kind": "reference", "urls": {}, "repository_sha256": None,
                    "release_expected": "24.10"},
        "environment": {
            "server": {"name": "triton", "version": "2.51.0", "extensions": []},
            "gpus": [], "cpu": {"model": "cpu", "count": 2}, "os": "Linux", "python": "3.11",
            "packages": {}, **machine,
        },
        "verdict": {"level": "none", "waivers": 0},
        "criteria": [],
        "clauses": list(clauses),
    }  # fmt: skip


def correlated(rng: np.random.Generator, count: int, spread: float, memory: float) -> Any:
    """Autoregressive noise of standard deviation ``spread``."""
    shocks = rng.normal(0, spread * np.sqrt(1 - memory**2), count)
    out = np.empty(count)
    value = rng.normal(0, spread)
    for at in range(count):
        value = memory * value + shocks[at]
        out[at] = value
    return out


def run(
    rng: np.random.Generator, *, slower: float = 1.0, run_sd: float = 0.03, answers: int = 1500,
    models: int = 2, raw: bool = True,
) -> Loaded:  # fmt: skip
    """One run of a suite: p50, p95, p99 and throughput of each model, and a batching gain.

    ``slower`` stretches every latency; ``run_sd`` is what differs from run to run.
    """
    clauses, series = [], {}
    for model in range(models):
        of_run = rng.normal(0, run_sd)
        noise = correlated(rng, answers, 0.1, 0.9) + rng.normal(0, 0.12, answers)
        latencies = 10 * slower * np.exp(of_run + noise)
        late = rng.random(answers) < 0.01
        latencies[late] *= 4
        rates = 4000 / np.array([part.mean() for part in np.array_split(latencies, 20)])
        entries = []
        for at, q in enumerate((50, 95, 99)):
            kept = interval_of(latencies, f"p{q}")
            entries.append(
                {"name": f"p{q}", "unit": "ms", "value": float(np.percentile(latencies, q)),
                 "statistic": f"p{q}", **({"interval": list(kept)} if kept else {})}
            )  # fmt: skip
            series[model, at] = Series(tuple(latencies.tolist()))
        entries.append({"name": "throughput", "unit": "requests/s", "value": float(rates.mean()),
                        "interval": list(interval_of(rates, None) or ())})  # fmt: skip
        series[model, 3] = Series(tuple(rates.tolist()))
        clauses.append(clause(f"LAT-{model:02}", entries))
    gains = 4 * np.exp(rng.normal(0, run_sd) + rng.normal(0, 0.06, 8))
    gain = {"name": "gain", "unit": "×", "value": float(np.median(gains))}
    series[models, 0] = Series(tuple(gains.tolist()), "pairs")
    clauses.append(clause("BAT-03", [gain | {"interval": list(interval_of(gains, None) or ())}]))
    return Loaded(report(clauses), "run", "", series if raw else {})
