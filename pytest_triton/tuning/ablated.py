"""Every setting of a model taken back in turn, on a server of ours: with it against without it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_triton.copies import Edit, keep, served_copies
from pytest_triton.factory import ServerFactory
from pytest_triton.load.paired import Paired, paired
from pytest_triton.load.result import LoadResult
from pytest_triton.load.stats import Verdict, ratio_interval
from pytest_triton.measuring import concurrency_for, drive, heaviest_of, prepare
from pytest_triton.repository.config import read_config
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject
from pytest_triton.tuning.knobs import Knob, knobs_of

#: Pairs of runs and seconds of each; as many again, four times, for a setting that is not decided.
PAIRS, LOOKS, SECONDS = 4, 5, 0.7
#: A setting pays when it gives so much more throughput, or takes so much less time.
PAYS = 0.05
#: Chance that one of all settings is said to pay that does not.
ALPHA = 0.05
#: Models that are tried.
MODELS = 2


@dataclass(frozen=True)
class Effect:
    """What a setting of a model brings: with it ÷ without it, throughput at ``concurrency`` and
    median latency there, with intervals that hold for all settings together."""

    model: str
    knob: Knob
    concurrency: int
    throughput: float
    throughput_interval: tuple[float, float]
    latency: float
    latency_interval: tuple[float, float]
    pairs: tuple[float, ...]
    latency_pairs: tuple[float, ...]

    @property
    def verdict(self) -> Verdict:
        """Pass: it pays by 5 % and more, and its interval excludes that it does nothing. Fail:
        the intervals exclude that it pays."""
        faster = self.throughput >= 1 + PAYS and self.throughput_interval[0] > 1
        quicker = self.latency <= 1 / (1 + PAYS) and self.latency_interval[1] < 1
        if faster or quicker:
            return "pass"
        no_faster = self.throughput_interval[1] < 1 + PAYS
        no_quicker = self.latency_interval[0] > 1 / (1 + PAYS)
        return "fail" if no_faster and no_quicker else "inconclusive"

    def __str__(self) -> str:
        low, high = self.throughput_interval
        return (
            f"{self.model} {self.knob.name} {self.knob.value}: throughput {self.throughput:.2f}× "
            f"[{low:.2f}, {high:.2f}], median latency {self.latency:.2f}×"
        )

    def to_json(self) -> dict[str, Any]:
        """For the evidence."""
        return {
            "model": self.model, "setting": self.knob.name, "value": self.knob.value,
            "concurrency": self.concurrency, "throughput": self.throughput,
            "throughput_interval": list(self.throughput_interval), "latency": self.latency,
            "latency_interval": list(self.latency_interval), "pairs": list(self.pairs),
            "verdict": self.verdict,
        }  # fmt: skip


def candidates(subject: Subject) -> list[tuple[str, list[Knob]]]:
    """PyTorch models with settings of their own, those that compute most first."""
    repository = subject.deployment.repository
    assert repository is not None
    found = []
    for name in heaviest_of(subject, subject.pytorch):
        if knobs := knobs_of(read_config(repository / name)):
            found.append((name, knobs))
    return found[:MODELS]


def effects(
    subject: Subject, settings: Settings, factory: ServerFactory, progress: Any = None
) -> Iterator[Effect]:
    """One setting after the other, most promising first; whoever has seen enough stops."""
    chosen = candidates(subject)
    tried = sum(len(knobs) + 1 for _, knobs in chosen)  # and all of them together
    confidence = 1 - ALPHA / (2 * LOOKS * max(tried, 1))  # two numbers of each, at every look
    for name, knobs in chosen:
        edits = (keep, _without(knobs), *(knob.revert for knob in knobs))
        with served_copies(subject, settings, factory, name, edits) as (server, names):
            yield from _of_model(subject, server, name, knobs, names, confidence, progress)


def _of_model(
    subject: Subject, server: Subject, model: str, knobs: list[Knob], names: list[str],
    confidence: float, progress: Any,
) -> Iterator[Effect]:  # fmt: skip
    """``names``: the model as configured, without any of the settings, and once without each."""
    tuned, minimal, *without = names
    concurrency = concurrency_for(subject, model)
    arms = {name: prepare(subject, model, as_model=name) for name in names}

    def run(name: str, seconds: float = SECONDS) -> LoadResult:
        return drive(server, name, arms[name], concurrency=concurrency, duration_s=seconds)

    def effect(knob: Knob, arm: str) -> Effect:
        run(arm, 0.4)
        if progress:
            progress(f"measuring {model} with and without {knob.name}")
        found: Effect | None = None
        for _ in range(LOOKS):
            pairs = paired(lambda: run(arm), lambda: run(tuned), pairs=PAIRS)
            found = _effect(model, knob, concurrency, pairs, confidence, found)
            if found.verdict != "inconclusive":
                break
        assert found is not None
        return found

    run(tuned, 0.4)
    if len(knobs) > 1:
        # together first: a setting that only mends what another one spoils brings nothing
        together = effect(Knob("all settings", "", keep), minimal)
        if together.verdict != "pass":
            yield together
            return
    for knob, arm in zip(knobs, without, strict=True):
        yield effect(knob, arm)


def _effect(
    model: str, knob: Knob, concurrency: int, pairs: Paired, confidence: float,
    before: Effect | None,
) -> Effect:  # fmt: skip
    throughput = (before.pairs if before else ()) + pairs.throughput_pairs
    latency = (before.latency_pairs if before else ()) + pairs.latency_pairs
    mean, low, high = ratio_interval(throughput, [1.0] * len(throughput), confidence=confidence)
    quick, least, most = ratio_interval(latency, [1.0] * len(latency), confidence=confidence)
    return Effect(
        model, knob, concurrency, mean, (low, high), quick, (least, most), throughput, latency
    )


def _without(knobs: Sequence[Knob]) -> Edit:
    def edit(config: Any) -> None:
        for knob in knobs:
            knob.revert(config)

    return edit
