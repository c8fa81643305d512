"""BEN-01: a benchmark that was handed in, held against itself and against two runs of ours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pytest_triton.criteria import Inconclusive
from pytest_triton.evidence import Evidence
from pytest_triton.handed_in import HandedIn
from pytest_triton.launch.machine import cpu
from pytest_triton.load.plausible import implausible, too_few
from pytest_triton.load.reading import Level, read_all
from pytest_triton.load.result import LoadResult
from pytest_triton.measuring import drive, permitted, prepare
from pytest_triton.subject import Subject

#: Interleaved pairs of runs: at first, and at most; seconds of a run.
PAIRS, MOST_PAIRS, SECONDS = 4, 8, 1.0
#: Highest concurrency that is measured again.
HIGHEST = 128
#: A ratio of throughputs nearer to 1 says nothing of an order.
ORDER = 1.10
#: Share by which a throughput may differ on the same machine.
SAME = 0.30
#: How far apart two machines may be on a benchmark that shows no order.
UNORDERED = 1.5


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Levels of one measurement: of one file, or of several files with a level each."""

    levels: tuple[Level, ...]

    @property
    def model(self) -> str:
        """The model that its files name; "" where they do not, or not the same."""
        names = {level.record.model for level in self.levels}
        return names.pop() if len(names) == 1 else ""

    @property
    def kept(self) -> list[Level]:
        """Its levels of concurrency, the lowest first."""
        chosen = [level for level in self.levels if level.record.concurrency is not None]
        return sorted(chosen, key=lambda level: level.offered)


def benchmarks(handed: HandedIn) -> list[Benchmark]:
    """The benchmarks of a directory, the one with most levels first. Raises Unreadable."""
    groups: dict[tuple[str, ...], list[Level]] = {}
    files: dict[str, list[Level]] = {}
    for level in read_all(handed.benchmarks):
        files.setdefault(level.path, []).append(level.of_batch(handed.batch))
    for path, levels in files.items():
        record = levels[0].record
        alone = len({level.offered for level in levels}) == 1
        key = (levels[0].tool, record.model, record.protocol) if alone else (path,)
        groups.setdefault(key, []).extend(levels)
    made = [Benchmark(tuple(levels)) for levels in groups.values()]
    return sorted(made, key=lambda benchmark: -len({v.offered for v in benchmark.kept}))


def model_of(benchmark: Benchmark, handed: HandedIn, subject: Subject) -> str:
    """The served model that a benchmark is of. Raises AssertionError when nobody can say."""
    served = list(subject.models)
    named = handed.model or benchmark.model
    if named:
        assert named in served, (
            f"the benchmark is of {named!r}, ready are {', '.join(served) or 'none'}"
        )
        return named
    paths = " ".join(dict.fromkeys(level.path for level in benchmark.levels))
    spoken = [name for name in served if name in paths]
    if spoken:
        return max(spoken, key=len)
    choice = list(subject.pytorch) or served
    assert len(choice) == 1, (
        f'which model is it of? Write  [benchmark] model = "NAME"  into submission.toml '
        f"(ready are {', '.join(served)})"
    )
    return choice[0]


@dataclass(slots=True)
class Again:
    """Runs of ours at two levels, in pairs that were measured in turn."""

    low: list[LoadResult] = field(default_factory=list)
    high: list[LoadResult] = field(default_factory=list)

    @property
    def ratio(self) -> tuple[float, float]:
        """A 95 % interval of the ratio of throughputs, high to low (t, of logarithms)."""
        logs = [
            math.log(b.throughput_rps / a.throughput_rps)
            for a, b in zip(self.low, self.high, strict=True)
        ]
        return tuple(math.exp(edge) for edge in interval(logs))  # type: ignore[return-value]

    @property
    def foreign(self) -> float:
        """Cores that others used; 0 where that is not known."""
        told = [run.foreign_cpu for run in self.low + self.high if not math.isnan(run.foreign_cpu)]
        return float(np.mean(told)) if told else 0.0


#: Student's t, two-sided 95 %, by degrees of freedom from 1 on.
_T = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """A 95 % interval of the mean of 2 to 8 values (Student's t)."""
    mean = float(np.mean(values))
    half = _T[len(values) - 2] * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return mean - half, mean + half


def again(
    subject: Subject, model: str, low: Level, high: Level, claimed: float, batch: int
) -> Again:
    """Measure two levels in turn until their order is told, or for :data:`MOST_PAIRS`.

    Raises AssertionError when requests fail or answers are wrong.
    """
    requests = prepare(subject, model, batch=batch)
    found = Again()
    for pair in range(MOST_PAIRS):
        order = [(low, found.low), (high, found.high)]
        for level, into in order if pair % 2 == 0 else order[::-1]:
            run = drive(
                subject, model, requests, concurrency=int(level.offered), duration_s=SECONDS
            )
            bad = run.errors + run.wrong
            assert bad <= (0 if run.wrong else 0.01 * run.requests), (
                f"measured again, {bad} of {run.requests} requests to {model} failed: "
                f"{(run.wrong_texts + run.error_texts).most_common(1)}"
            )
            if not run.throughput_rps:
                raise Inconclusive(f"{model} gave no answer in {SECONDS:g} s")
            into.append(run)
        if pair + 1 >= PAIRS and order_told(claimed, found.ratio) != "open":
            break
    return found


def order_told(claimed: float, ratio: tuple[float, float]) -> str:
    """Whether a measured ratio agrees with the claimed one: "yes", "no" or "open"."""
    first, last = ratio
    if claimed < 1 / ORDER:
        claimed, first, last = 1 / claimed, 1 / last, 1 / first
    if claimed <= ORDER:
        return "yes" if first <= UNORDERED and last >= 1 / UNORDERED else "open"
    if first > 1:
        return "yes"
    return "no" if last < 1 / ORDER else "open"


def same_machine(level: Level, subject: Subject) -> bool:
    """Whether a file says that it was measured on the processors that serve here."""
    told: Any = level.record.more.get("machine")
    return subject.deployment.owned and isinstance(told, dict) and told == cpu()


def confirm(
    subject: Subject, benchmark: Benchmark, model: str, batch: int, evidence: Evidence
) -> None:
    """Hold the lowest and the highest level against runs of ours.

    AssertionError when they contradict, Inconclusive when that cannot be told.
    """
    served = subject.models[model]
    if served.decoupled or served.stateful:
        raise Inconclusive(f"{model} streams or keeps state: it is not measured again")
    bound = permitted(subject.settings, HIGHEST)
    levels = [level for level in benchmark.kept if level.offered <= bound]
    if len({level.offered for level in levels}) < 2:
        raise Inconclusive(
            f"only a concurrency of {bound} may be measured again: say a larger "
            "--triton-allow-load, or hand in lower levels"
        )
    low, high = levels[0], levels[-1]
    claimed = high.record.throughput_rps / low.record.throughput_rps
    found = again(subject, model, low, high, claimed, batch)
    _tell(evidence, low, found.low)
    _tell(evidence, high, found.high)
    ratio = found.ratio
    evidence.measure("throughput ratio", math.sqrt(ratio[0] * ratio[1]), "×", interval=ratio,
                     budget=claimed)  # fmt: skip
    told = (
        f"{high.place}: {high.record.load} is {claimed:.2f} times {low.record.load} there, "
        f"[{ratio[0]:.2f}, {ratio[1]:.2f}] times measured here"
    )
    order = order_told(claimed, ratio)
    assert order != "no", f"{told}: the order of the levels is another"
    open_ones = [told] if order == "open" else []
    for level, runs in ((low, found.low), (high, found.high)):
        if same_machine(level, subject):
            open_ones += _values(level, runs, found.foreign)
    if open_ones:
        raise Inconclusive("; ".join(open_ones) + ": cannot be told, measure on a quieter machine")


def _tell(evidence: Evidence, level: Level, runs: Sequence[LoadResult]) -> None:
    values = [run.throughput_rps for run in runs]
    evidence.measure(f"throughput at {level.record.load}", float(np.mean(values)), "requests/s",
                     interval=interval(values), budget=level.record.throughput_rps,
                     samples=values)  # fmt: skip


def _values(level: Level, runs: Sequence[LoadResult], foreign: float) -> list[str]:
    """On the same machine throughputs agree within 30 %, as far as others left it alone."""
    first, last = interval([run.throughput_rps for run in runs])
    claimed = level.record.throughput_rps
    told = (
        f"{level.place}: {claimed:.4g} requests/s at {level.record.load}, "
        f"[{first:.4g}, {last:.4g}] measured on the same machine"
    )
    cores = float(cpu()["count"])
    # What others use slows us down, by more than their share.
    room = 1 + 2 * foreign / max(cores - foreign, 0.5)
    assert claimed <= (1 + SAME) * last * room, f"{told}: more than {SAME:.0%} above"
    high, low = claimed > (1 + SAME) * last, claimed < (1 - SAME) * first
    # Slower is no lie: the machine was not as quiet as now.
    return [told] if high or low else []


def judge(subject: Subject, handed: HandedIn, evidence: Evidence) -> None:
    """Judge what was handed in: readable, enough levels, plausible, and confirmed."""
    found = benchmarks(handed)
    texts = [text for one in found for text in implausible(one.levels)]
    if few := too_few(found[0].levels):
        texts.append(few)
    evidence.attach(
        "levels.json",
        [{"place": v.place, "tool": v.tool, **v.record.to_json(),
          **({} if v.counted else {"requests": None})} for one in found for v in one.levels],
    )  # fmt: skip
    for text in texts:
        path, _, rest = text.partition(":")
        line = rest.partition(":")[0]
        evidence.locate(path, int(line) if line.isdigit() else 0)
    assert not texts, "\n".join(texts)
    model = model_of(found[0], handed, subject)
    evidence.model = model
    confirm(subject, found[0], model, handed.batch, evidence)
