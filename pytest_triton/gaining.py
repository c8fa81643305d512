"""The batching gain: a model against itself without dynamic_batching, on a server of ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from pytest_triton.copies import keep, served_copies
from pytest_triton.factory import ServerFactory
from pytest_triton.load.gain import Gain, abba
from pytest_triton.load.result import LoadResult
from pytest_triton.load.stats import Verdict
from pytest_triton.measuring import concurrency_for, drive, heaviest, prepare
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject

#: Interleaved pairs of runs, how often as many are added on a noisy machine, seconds of a run.
PAIRS, LOOKS, SECONDS = 5, 4, 1.0
#: Models that are tried, one after the other.
CANDIDATES = 2
#: Mean batch that shows that requests were executed together.
MIN_BATCH = 2.0
#: A row may cost this many times what a few rows take, and an arm what the other one takes for as
#: many; those sizes, rounds and seconds.
WASTE, ROWS, ROUNDS, MOST_ROUNDS, ROUND_S = 1.5, (1, 2, 8), 2, 8, 0.25


@dataclass(frozen=True, slots=True)
class ModelGain:
    """The gain of one model."""

    model: str
    concurrency: int
    gain: Gain
    #: The least mean time of executions of so many rows, asked alone, in ms: of the control
    #: arm, and of the other one.
    rows_ms: Mapping[int, float] = field(default_factory=dict)
    treated_ms: Mapping[int, float] = field(default_factory=dict)

    @property
    def objection(self) -> str:
        """Why this gain, however large, is not one of batching; empty when it is.

        What noise and tricks cannot fake: the executed batches of both arms, and what a single
        row costs. A module that wastes time on single rows makes its control arm slow.
        """
        control, treated = self.gain.served_a, self.gain.served_b
        if not control.batches or not treated.batches:
            return f"{self.model}: batch_stats show no execution, so nothing shows what was batched"
        if control.cache_hits or treated.cache_hits:
            return f"{self.model}: a response cache answered"
        if control.mean_batch > 1:
            mean = f"{control.mean_batch:.2f}"
            return f"{self.model}: without dynamic_batching the mean batch is still {mean}"
        if treated.mean_batch < MIN_BATCH:
            return (
                f"{self.model}: the mean executed batch is {treated.mean_batch:.2f}: whatever is "
                "faster, it is not batching"
            )
        slowed = wasted(self.rows_ms, self.treated_ms)
        return f"{self.model}: {slowed}" if slowed else ""

    def to_json(self) -> dict[str, Any]:
        """For the evidence: every run's throughput in requests per second."""
        return {
            "model": self.model,
            "concurrency": self.concurrency,
            "pairs": list(self.gain.values),
            "control_rps": list(self.gain.a),
            "dynamic_rps": list(self.gain.b),
            "interval": list(self.gain.interval),
            "foreign_cpu": list(self.gain.foreign_cpu),
            "rows_ms": {str(size): took for size, took in self.rows_ms.items()},
            "dynamic_rows_ms": {str(size): took for size, took in self.treated_ms.items()},
            "control_server": self.gain.served_a.to_json(),
            "dynamic_server": self.gain.served_b.to_json(),
        }


def wasted(rows: Mapping[int, float], treated: Mapping[int, float]) -> str:
    """How the control arm is slowed down, by what executions of so many rows take on it (ms) and on
    the other one; empty where it is not."""
    alone = rows.get(1, math.nan)
    size, least = min(rows.items(), key=lambda entry: entry[1], default=(1, math.nan))
    if alone > WASTE * least:
        return (
            f"an execution of one row takes {alone:.2f} ms, one of {size} rows {least:.2f} ms: "
            "single rows are slowed down, and the control arm with them"
        )
    for size, took in rows.items():
        other = treated.get(size, math.nan)
        if took > WASTE * other:
            return (
                f"an execution of {size} rows takes {took:.2f} ms without dynamic_batching and "
                f"{other:.2f} ms with it: the control arm is slowed down"
            )
    return ""


class ArmsServer:
    """Boots, for one model after the other, a server with the model and its control arm."""

    def __init__(self, subject: Subject, settings: Settings, factory: ServerFactory) -> None:
        self.subject = subject
        self._settings = settings
        self._factory = factory

    def candidates(self) -> list[str]:
        """Models that may show the gain, the most promising first."""
        return heaviest(self.subject, CANDIDATES)

    def booted(self, model: str) -> AbstractContextManager[tuple[Subject, list[str]]]:
        """A server with the control arm and the other one, and their names in this order."""
        return served_copies(
            self.subject, self._settings, self._factory, model, (without_batching, keep)
        )


def without_batching(config: Any) -> None:
    """The control arm: the same configuration without dynamic_batching."""
    config.ClearField("dynamic_batching")


def measure(
    arms: ArmsServer,
    model: str,
    decided: Callable[[Gain], bool],
    *,
    confidence: float,
    progress: Any,
) -> ModelGain:
    """Throughput of both arms in ABBA order, at the same concurrency, answers checked.

    Pairs are added until ``decided``, or until the last look.
    """
    source = arms.subject
    concurrency = concurrency_for(source, model)
    told = (
        (lambda text: progress(f"measuring the batching gain of {model}, {text}"))
        if progress
        else None
    )
    with arms.booted(model) as (subject, (control, treated)):
        requests = {name: prepare(source, model, as_model=name) for name in (control, treated)}

        def run(name: str, seconds: float = SECONDS) -> LoadResult:
            return drive(subject, name, requests[name], concurrency=concurrency, duration_s=seconds)

        for name in (control, treated):
            run(name, 0.3)
        gain = abba(
            lambda: run(control),
            lambda: run(treated),
            pairs=PAIRS,
            looks=LOOKS,
            enough=decided,
            confidence=confidence,
            progress=told,
        )
        rows = _rows(source, subject, model, (control, treated))
    return ModelGain(model, concurrency, gain, rows[control], rows[treated])


def _rows(
    source: Subject, subject: Subject, model: str, arms: tuple[str, str]
) -> dict[str, dict[int, float]]:
    """What executions of a few sizes take on each arm, by the server's account; the least of some
    rounds, since noise only adds."""
    sizes = [size for size in ROWS if size <= source.models[model].max_batch_size]
    asked = {
        (arm, size): prepare(source, model, count=16, batch=size, as_model=arm)
        for size in sizes for arm in arms
    }  # fmt: skip
    found: dict[str, dict[int, float]] = {arm: {} for arm in arms}
    control, treated = arms
    for turn in range(MOST_ROUNDS):
        for (arm, size), requests in asked.items():
            run = drive(subject, arm, requests, concurrency=1, duration_s=ROUND_S, warmup_s=0.1)
            if run.served and not math.isnan(took := run.served.execution_ms(size)):
                found[arm][size] = min(found[arm].get(size, math.inf), took)
        # what looks slowed down may be noise, which more rounds take away
        if turn + 1 >= ROUNDS and not wasted(found[control], found[treated]):
            break
    return found


def best_gain(
    arms: ArmsServer, *, at_least: float, low_above: float, progress: Any = None
) -> list[ModelGain]:
    """Measure candidates until one passes. The more candidates, the wider the intervals."""
    candidates = arms.candidates()
    found: list[ModelGain] = []

    def verdict(gain: Gain) -> Verdict:
        return gain.judge(at_least=at_least, low_above=low_above)

    for model in candidates:
        found.append(
            measure(
                arms,
                model,
                lambda gain: verdict(gain) != "inconclusive",
                confidence=1 - 0.05 / len(candidates),
                progress=progress,
            )
        )
        if verdict(found[-1].gain) == "pass" and not found[-1].objection:
            break
    return found
