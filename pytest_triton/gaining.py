"""The batching gain: a model against itself without dynamic_batching, on a server of ours."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_triton.factory import ServerFactory
from pytest_triton.load.gain import Gain, abba
from pytest_triton.load.result import LoadResult
from pytest_triton.load.stats import Verdict
from pytest_triton.measuring import concurrency_for, drive, heaviest, prepare
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject

#: Interleaved pairs of runs, how often as many are added on a noisy machine, seconds of a run.
PAIRS, LOOKS, SECONDS = 5, 4, 1.2
#: Models that are tried, one after the other.
CANDIDATES = 2
CONTROL, TREATED = "pytest_triton_control", "pytest_triton_treated"


@dataclass(frozen=True, slots=True)
class ModelGain:
    """The gain of one model."""

    model: str
    concurrency: int
    gain: Gain

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
        }


class ArmsServer:
    """Boots, for one model after the other, a server with the model and its control arm."""

    def __init__(self, subject: Subject, settings: Settings, factory: ServerFactory) -> None:
        self.subject = subject
        self._settings = settings
        self._factory = factory

    def candidates(self) -> list[str]:
        """Models that may show the gain, the most promising first."""
        return heaviest(self.subject, CANDIDATES)

    @contextmanager
    def booted(self, model: str) -> Iterator[Subject]:
        """A server with both arms, for the length of the block."""
        assert self.subject.deployment.repository is not None
        with tempfile.TemporaryDirectory(prefix="pytest-triton-arms-") as scratch:
            repository = Path(scratch)
            for name in (CONTROL, TREATED):
                write_arm(
                    self.subject.deployment.repository / model,
                    repository / name,
                    dynamic=name == TREATED,
                )
            deployment = self._factory(repository)
            subject = Subject(deployment, self._settings)
            try:
                yield subject
            finally:
                subject.close()
                self._factory.stop(deployment)


def write_arm(source: Path, target: Path, *, dynamic: bool) -> None:
    """A copy of a model under another name; without dynamic_batching unless ``dynamic``.

    Neither arm has a response cache: a gain from answers that were not computed is none.
    """
    from pytest_triton.repository.config import read_config, write_config

    shutil.copytree(source, target, symlinks=False)
    config = read_config(source)
    config.name = target.name
    config.ClearField("response_cache")
    if not dynamic:
        config.ClearField("dynamic_batching")
    write_config(config, target / "config.pbtxt")


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
    with arms.booted(model) as subject:
        requests = {name: prepare(source, model, as_model=name) for name in (CONTROL, TREATED)}

        def run(name: str, seconds: float = SECONDS) -> LoadResult:
            return drive(subject, name, requests[name], concurrency=concurrency, duration_s=seconds)

        for name in (CONTROL, TREATED):
            run(name, 0.3)
        gain = abba(
            lambda: run(CONTROL),
            lambda: run(TREATED),
            pairs=PAIRS,
            looks=LOOKS,
            enough=decided,
            confidence=confidence,
            progress=told,
        )
    return ModelGain(model, concurrency, gain)


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
        if verdict(found[-1].gain) == "pass":
            break
    return found
