"""Three witnesses of the same requests: the client, the statistics, the metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from pytest_triton.criteria import Inconclusive
from pytest_triton.errors import SubjectFault
from pytest_triton.load.serverside import reading
from pytest_triton.probe.types import MalformedAnswer
from pytest_triton.subject import Subject

T = TypeVar("T")

#: Seconds within which counters have to show a request that was answered.
SETTLE = 3.0
#: Seconds without a change after which counters are taken to be at rest.
QUIET = 0.1
FAMILIES = {
    "success": "nv_inference_request_success",
    "failure": "nv_inference_request_failure",
    "inferences": "nv_inference_count",
    "executions": "nv_inference_exec_count",
}
#: Counters in which every witness has to say what the client says; executions may differ.
EXACT = ("success", "failure", "inferences")


@dataclass(frozen=True, slots=True)
class Counts:
    """Counters of one model, all versions together."""

    success: int = 0
    failure: int = 0
    inferences: int = 0
    executions: int = 0

    def __sub__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Batches:
    """``batch_stats`` of one model: executions by their batch size."""

    executions: Mapping[int, int]

    def __sub__(self, other: Batches) -> Batches:
        sizes = set(self.executions) | set(other.executions)
        return Batches(
            {
                size: self.executions.get(size, 0) - other.executions.get(size, 0)
                for size in sorted(sizes)
            }
        )

    @property
    def count(self) -> int:
        return sum(self.executions.values())

    @property
    def rows(self) -> int:
        return sum(size * count for size, count in self.executions.items())

    @property
    def mean(self) -> float:
        """Mean executed batch; nan when nothing was executed."""
        return self.rows / self.count if self.count else float("nan")


def statistics(subject: Subject, model: str) -> tuple[Counts, Batches]:
    """The statistics of a model, all versions together. Raises MalformedAnswer."""
    found = reading(subject.http.statistics(model), model)
    counts = Counts(found.success, found.failure, found.inferences, found.executions)
    return counts, Batches(found.batches)


def metrics(subject: Subject, model: str) -> Counts:
    """The counters of a model on the metrics page; a missing series counts as 0."""
    scrape = subject.scrape()
    found: dict[str, int] = {}
    for key, name in FAMILIES.items():
        value = scrape.value(name, model=model) or 0.0
        if not value.is_integer() or value < 0:  # NaN and infinity are no integers either
            raise MalformedAnswer(f"{name} of {model} is {value:g}, which is no count")
        found[key] = int(value)
    return Counts(**found)


@dataclass(frozen=True, slots=True)
class Observation:
    """What the witnesses say that a block of requests added."""

    sent: Counts
    by_statistics: Counts
    #: None: there is no metrics page, or it cannot be read (``trouble`` says why).
    by_metrics: Counts | None
    batches: Batches
    trouble: str = ""

    def disagreement(self, witness: Counts | None, name: str) -> str | None:
        """How a witness contradicts the client in exact counters; None: it does not."""
        if witness is None:
            return None
        for key in EXACT:
            sent, told = getattr(self.sent, key), getattr(witness, key)
            if sent != told:
                return f"{name} counts {told} {key}, the client {sent}"
        return None

    def require(self, subject: Subject, name: str) -> None:
        """AssertionError if the witness ``name`` is wrong; Inconclusive if others call too.

        On an endpoint in use the requests of others are counted as well: two witnesses that
        both count more than the client are no proof of a wrong counter (they are read one
        after the other, so they need not be equal), and neither is one without the other.
        """
        witnesses = {"statistics": self.by_statistics, "metrics": self.by_metrics}
        if witnesses[name] is None:
            raise AssertionError(f"the {name} cannot be read: {self.trouble}")
        text = self.disagreement(witnesses[name], name)
        if text is None:
            return
        other = next(key for key in witnesses if key != name)
        second = witnesses[other]
        if not subject.deployment.owned and self._excess(witnesses[name]):
            if second is None:
                raise Inconclusive(f"{text}; others may use this server too, and no {other} tell")
            if self._excess(second):
                raise Inconclusive(f"{text}; {other} agree with that: others use this server too")
        raise AssertionError(text)

    def _excess(self, witness: Counts | None) -> bool:
        """Whether a witness counts more than the client, and in no counter less."""
        if witness is None:
            return False
        pairs = [(getattr(witness, key), getattr(self.sent, key)) for key in EXACT]
        return all(told >= sent for told, sent in pairs) and any(
            told > sent for told, sent in pairs
        )


def _settled(read: Callable[[], T]) -> T:
    """A reading that no longer changes: Triton counts a request after it has answered it."""
    deadline = time.monotonic() + SETTLE
    last = read()
    while time.monotonic() < deadline:
        time.sleep(QUIET)
        if (now := read()) == last:
            break
        last = now
    return last


def observe(subject: Subject, model: str, send: Callable[[], Counts]) -> Observation:
    """Read the witnesses, send, and read them until they show what was sent (or do not)."""
    with_metrics = subject.has_endpoint("metrics") and not subject.obstacle("metrics")

    trouble = ""

    def read() -> tuple[tuple[Counts, Batches], Counts | None]:
        nonlocal trouble
        told = None
        try:
            told = metrics(subject, model) if with_metrics else None
        except SubjectFault as fault:  # a clause about statistics does not care
            trouble = str(fault)
        return statistics(subject, model), told

    (counts, batches), told = _settled(read)
    sent = send()
    deadline = time.monotonic() + SETTLE
    while True:
        (after, after_batches), after_told = read()
        seen = Observation(
            sent,
            after - counts,
            after_told - told if after_told is not None and told is not None else None,
            after_batches - batches,
            trouble,
        )
        agreed = not (
            seen.disagreement(seen.by_statistics, "")
            or seen.disagreement(seen.by_metrics, "")
            # Triton counts executions that failed, too.
            or (not sent.failure and seen.batches.rows != sent.inferences)
        )
        if agreed or time.monotonic() > deadline:
            return seen
        time.sleep(0.05)


def as_json(observation: Observation) -> dict[str, Any]:
    """For the evidence."""
    return {
        "sent": _plain(observation.sent),
        "statistics": _plain(observation.by_statistics),
        "metrics": _plain(observation.by_metrics) if observation.by_metrics else None,
        "batches": dict(observation.batches.executions),
    }


def _plain(counts: Counts) -> dict[str, int]:
    return {item.name: getattr(counts, item.name) for item in fields(counts)}
