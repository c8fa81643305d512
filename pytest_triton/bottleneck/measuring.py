"""A model of a server that is there, at several loads: facts, and what they say."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pytest_triton.bottleneck.causes import Answer, Finding, analyse
from pytest_triton.bottleneck.facts import Facts, Model, facts_of, model_of
from pytest_triton.bottleneck.gauges import Gauges
from pytest_triton.load.records import finite
from pytest_triton.load.result import LoadResult
from pytest_triton.loading.levels import Level
from pytest_triton.loading.sweep import Wanted, drive
from pytest_triton.loading.target import Target

#: Answers that a level has to have, and seconds that a slow model may take for them.
ENOUGH, PATIENCE_S = 30, 30.0


@dataclass(frozen=True)
class Analysed:
    """One model. ``levels`` by ascending concurrency."""

    model: Model
    url: str
    levels: Sequence[Facts]
    answer: Answer


def measure(
    target: Target, wanted: Wanted, levels: Sequence[Level], metrics_url: str | None = None,
    say: Callable[[str], None] | None = None, each: Callable[[Facts], None] | None = None,
) -> Analysed:  # fmt: skip
    """Drive every level of a closed loop and analyse. A slow model gets longer than asked for.

    Raises what :meth:`Target.prepared` raises, and ConnectionFailed for a server that is gone.
    """
    requests = target.prepared(wanted.protocol, wanted.batch)
    model = model_of(target.config)
    found: list[Facts] = []
    for level in sorted(levels, key=lambda one: one.number):
        with Gauges(metrics_url, target.headers, target.ssl_context) as gauges:
            result = drive(target, wanted, requests, level, say)
            if 0 < len(result.latency_us) < ENOUGH:
                result = drive(target, _longer(wanted, result), requests, level, say)
        facts = facts_of(result, model.instances, cores=os.cpu_count() or 1, machine=gauges.machine,
                         gpu=gauges.gpu)  # fmt: skip
        found.append(facts)
        if each:
            each(facts)
    return Analysed(model, target.http_url, tuple(found), analyse(found, model))


def _longer(wanted: Wanted, result: LoadResult) -> Wanted:
    each = float(result.latency_us.mean()) / 1e6 / max(result.concurrency, 1)
    return replace(wanted, duration_s=min(PATIENCE_S, max(wanted.duration_s, 1.5 * ENOUGH * each)))


def to_json(analysed: Sequence[Analysed]) -> dict[str, Any]:
    """The document of ``pytest-triton bottleneck --json``; unknown numbers are null."""
    made: dict[str, Any] = finite({"models": [
        {
            "model": one.model.name, "url": one.url, "configuration": asdict(one.model),
            "latency": _told(one.answer.latency), "throughput": _told(one.answer.throughput),
            "levels": [{**asdict(level), "parts_ms": dict(level.parts_ms)} for level in one.levels],
        }
        for one in analysed
    ]})  # fmt: skip
    return made


def _told(finding: Finding) -> dict[str, Any]:
    return {
        "key": finding.cause.key, "title": finding.cause.title, "because": finding.because,
        "change": finding.cause.change, "also": list(finding.also),
    }  # fmt: skip
