"""A model's series in the metrics while it is unloaded and loaded again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_triton.monitor.metrics import Scrape
from pytest_triton.probe.http import wait_until
from pytest_triton.subject import Subject
from pytest_triton.telling import UNLOAD_TIMEOUT

SUCCESS, FAILURE = "nv_inference_request_success", "nv_inference_request_failure"
#: Key of a series of one model, without the model: name and labels.
Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Vanished:
    """Pages before, between and after; ``model`` was unloaded and loaded again."""

    model: str
    before: Scrape
    between: Scrape
    after: Scrape

    def flaws(self) -> list[str]:
        """What the pages show that must not be."""
        kept = series(self.between, self.model)
        early = series(self.before, self.model)
        late = series(self.after, self.model)
        flaws = [f"{name} is still there" for name in sorted({n for n, _ in kept if n != FAILURE})]
        # Triton keeps the series of failures from 24.07 on: then they are what they were.
        flaws += [
            f"{name} was {early.get((name, labels), 0):g} and is {value:g} without the model"
            for (name, labels), value in kept.items()
            if name == FAILURE and value != early.get((name, labels))
        ]
        flaws += [
            f"{name} does not come back" for name in sorted({n for n, _ in early.keys() - late})
        ]
        flaws += [
            f"{name} comes back with {value:g}, it begins at 0"
            for (name, labels), value in late.items()
            if name == SUCCESS and value
        ]
        gone = {
            sample.labels["model"]
            for sample in self.before.samples(SUCCESS)
            if sample.labels.get("model") != self.model
        } - {sample.labels.get("model") for sample in self.between.samples(SUCCESS)}
        return flaws + [f"{name} is gone too" for name in sorted(gone)]


def series(scrape: Scrape, model: str) -> Mapping[Key, float]:
    """Every series of a model."""
    return {
        (name, tuple(pair for pair in key if pair[0] != "model")): value
        for name, of in scrape.series.items()
        for key, value in of.items()
        if ("model", model) in key
    }


def vanishing(subject: Subject, model: str) -> Vanished:
    """Unload a model, and load it again when its series are gone, or after the deadline."""
    before = subject.scrape()
    subject.http.unload(model)
    try:
        wait_until(
            lambda: not {name for name, _ in series(subject.scrape(), model)} - {FAILURE},
            timeout=UNLOAD_TIMEOUT,
        )
        between = subject.scrape()
    finally:
        subject.load(model)
    wait_until(lambda: series(subject.scrape(), model), timeout=UNLOAD_TIMEOUT)
    return Vanished(model, before, between, subject.scrape())
