"""The search: one setting after the other, each value against the best so far, in turn.

A value is taken only when its gain is beyond noise. At last the configuration that was there and
the best one are measured at every concurrency, in turn as well.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pytest_triton.copies import copy_model
from pytest_triton.deployment import Deployment
from pytest_triton.errors import Misused, SubjectFault, ToolError
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.load.paired import Paired, paired
from pytest_triton.load.requests import PreparedRequest
from pytest_triton.load.result import LoadResult
from pytest_triton.loading.levels import Level
from pytest_triton.loading.sweep import Wanted, drive
from pytest_triton.loading.target import Target
from pytest_triton.probe.http import HttpProbe, model_path, wait_until
from pytest_triton.repository.config import read_config
from pytest_triton.tuning.candidates import STAGES, Candidate, alternatives, configured

#: A value is better when it gives so much more throughput, and its interval lies above 1.
BETTER = 0.03
#: Chance that one of all values is taken that is no better.
ALPHA = 0.05
#: Values that a search tries at most, which the intervals are made for.
_MOST_TRIALS = 12
_LOADING = 300.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What is searched for: throughput of one model at ``concurrency``, with p95 at most
    ``p95_ms`` where that is given; ``levels`` are measured at last."""

    repository: Path
    model: str
    concurrency: int
    levels: tuple[int, ...]
    counts: tuple[int, ...]
    stages: tuple[str, ...] = STAGES
    p95_ms: float | None = None
    pairs: int = 4
    seconds: float = 1.0
    device: str = "auto"
    release: str = "24.10"
    inputs: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class Trial:
    """A value against the best so far: ratios of throughput and median latency, and p95."""

    stage: str
    candidate: Candidate
    against: Candidate
    throughput: float
    interval: tuple[float, float]
    pairs: tuple[float, ...]
    latency: float
    p95_ms: float
    mean_batch: float
    taken: bool
    why: str


@dataclass(frozen=True)
class Point:
    """One configuration at one concurrency: medians over the turns."""

    concurrency: int
    rps: float
    p50_ms: float
    p95_ms: float
    mean_batch: float


@dataclass
class Tuned:
    """What a search found."""

    model: str
    before: Candidate
    best: Candidate
    trials: list[Trial] = field(default_factory=list)
    refused: list[tuple[Candidate, str]] = field(default_factory=list)
    curves: dict[str, list[Point]] = field(default_factory=dict)
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)


def tune(asked: Asked, say: Say) -> Tuned:
    """Search, and measure what came of it. Raises Misused and ToolError."""
    source = asked.repository / asked.model
    if not (source / "config.pbtxt").is_file():
        raise Misused(f"{source} has no config.pbtxt", "name a --model of the repository")
    config = read_config(source)
    if config.HasField("sequence_batching") or config.model_transaction_policy.decoupled:
        raise Misused(f"{asked.model} takes sequences or streams", "tune measures single requests")
    before = configured(config)
    with tempfile.TemporaryDirectory(prefix="pytest-triton-tune-") as scratch:
        place = Path(scratch)
        copy_model(source, place / "base", before.edit)
        spec = ServerSpec(place, models=("base",), device=asked.device, release=asked.release)
        say("booting Triton")
        with embedded(spec) as server:
            search = _Search(asked, server, place, Tuned(asked.model, before, before), say)
            return search.run(int(config.max_batch_size))


class _Search:
    """One server; the best so far stays loaded, and one value at a time comes beside it."""

    def __init__(
        self, asked: Asked, server: Deployment, place: Path, made: Tuned, say: Say
    ) -> None:
        self.asked, self.server, self.place, self.made, self.say = asked, server, place, made, say
        self.wanted = Wanted(duration_s=asked.seconds, warmup_s=0.3, timeout_s=60.0)
        self.level = Level(concurrency=asked.concurrency)
        self.ready: dict[str, tuple[Target, list[PreparedRequest]]] = {}
        self.answers: list[PreparedRequest] = []

    def run(self, most: int) -> Tuned:
        name, number = "base", 0
        self._prepare(name)
        best = self.made.before
        for stage in self.asked.stages:
            for candidate in alternatives(best, stage, most=most, counts=self.asked.counts):
                number += 1
                arm = f"arm_{number}"
                self.say(f"trying {candidate.title}")
                try:
                    self._load(arm, candidate)
                    found = self._against(stage, name, best, arm, candidate)
                except (SubjectFault, AssertionError) as error:
                    self.made.refused.append((candidate, str(error).splitlines()[0][:200]))
                    self._unload(arm)
                    continue
                self.made.trials.append(found)
                if found.taken:
                    if name != "base":
                        self._unload(name)
                    best, name = candidate, arm
                else:
                    self._unload(arm)
        self.made.best = best
        self._curves(name)
        return self.made

    def _against(
        self, stage: str, name: str, best: Candidate, arm: str, candidate: Candidate
    ) -> Trial:
        runs: dict[str, list[LoadResult]] = {name: [], arm: []}

        def run(which: str) -> LoadResult:
            runs[which].append(self._drive(which, self.level))
            return runs[which][-1]

        run(arm)  # what comes together now is compiled before it counts
        runs[arm].clear()
        confidence = 1 - ALPHA / _MOST_TRIALS
        pairs = paired(lambda: run(name), lambda: run(arm), pairs=self.asked.pairs)
        ratio, low, high = _interval(pairs, confidence)
        p95 = float(np.median([one.percentile_ms(95) for one in runs[arm]]))
        served = [one.served.mean_batch for one in runs[arm] if one.served]
        faster = ratio >= 1 + BETTER and low > 1
        within = self.asked.p95_ms is None or p95 <= self.asked.p95_ms
        why = (
            "taken" if faster and within
            else f"p95 {p95:.3g} ms is over {self.asked.p95_ms:g} ms" if faster
            else "slower" if high < 1 else "no gain beyond noise"
        )  # fmt: skip
        return Trial(
            stage, candidate, best, ratio, (low, high), pairs.throughput_pairs, pairs.latency, p95,
            float(np.mean(served)) if served else float("nan"), faster and within, why,
        )  # fmt: skip

    def _curves(self, best: str) -> None:
        """The configuration that was there and the best one at every concurrency, in turn."""
        names = ["base"] if best == "base" else ["base", best]
        for concurrency in self.asked.levels:
            self.say(f"measuring before and after at concurrency {concurrency}")
            runs: dict[str, list[LoadResult]] = {name: [] for name in names}
            for turn in range(2):
                for name in names[:: 1 if turn % 2 == 0 else -1]:
                    runs[name].append(self._drive(name, Level(concurrency=concurrency)))
            for name in names:
                point = _point(concurrency, runs[name])
                key = "before" if name == "base" else "after"
                self.made.curves.setdefault(key, []).append(point)
        if best == "base":
            return
        self.say("measuring the gain of everything together")
        pairs = paired(
            lambda: self._drive("base", self.level), lambda: self._drive(best, self.level),
            pairs=self.asked.pairs,
        )  # fmt: skip
        self.made.gain = _interval(pairs, 0.95)

    def _drive(self, name: str, level: Level) -> LoadResult:
        target, requests = self.ready[name]
        return drive(target, self.wanted, requests, level, None)

    def _prepare(self, name: str) -> None:
        """The same requests for every model: each has to answer what the base answers alone."""
        asked = self.asked
        target = Target(
            name, self.server.http_url, self.server.grpc_url, inputs=asked.inputs, seed=asked.seed,
            repository=self.place,
        )  # fmt: skip
        if not self.answers:
            self.answers = target.prepared("http", 1)
        path = f"{model_path(name, '')}/infer"
        requests = [
            replace(one, path=path, own={**one.own, "model_name": name}) for one in self.answers
        ]
        self.ready[name] = (target, requests)

    def _load(self, name: str, candidate: Candidate) -> None:
        source = self.asked.repository / self.asked.model
        copy_model(source, self.place / name, candidate.edit)
        with closing(HttpProbe(self.server.http_url, timeout=_LOADING)) as http:
            http.load(name, timeout=_LOADING)
        self._prepare(name)

    def _unload(self, name: str) -> None:
        """And wait: what is still going on would be measured with the next value."""
        self.ready.pop(name, None)
        with closing(HttpProbe(self.server.http_url, timeout=_LOADING)) as http:
            http.unload(name)

            def gone() -> bool:
                states = {one["name"]: one.get("state") for one in http.index()}
                return states.get(name) in (None, "UNAVAILABLE")

            if not wait_until(gone, timeout=30.0):
                raise ToolError(f"{name} is not unloaded within 30 s", "look at the server's log")
        shutil.rmtree(self.place / name, ignore_errors=True)


def _interval(pairs: Paired, confidence: float) -> tuple[float, float, float]:
    from pytest_triton.load.stats import ratio_interval

    values = pairs.throughput_pairs
    return ratio_interval(values, [1.0] * len(values), confidence=confidence)


def _point(concurrency: int, runs: Sequence[LoadResult]) -> Point:
    served = [one.served.mean_batch for one in runs if one.served]
    return Point(
        concurrency,
        float(np.median([one.throughput_rps for one in runs])),
        float(np.median([one.percentile_ms(50) for one in runs])),
        float(np.median([one.percentile_ms(95) for one in runs])),
        float(np.mean(served)) if served else float("nan"),
    )
