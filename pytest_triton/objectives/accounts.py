"""The same window by two accounts: what clients got, and what the server counted.

Triton's failure counter is a lower bound: which failure moves which counter was measured, event by
event, on Triton 2.51 (MTR-09, MTR-17 to MTR-23 judge the same rows).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pytest_triton.load.result import LoadResult

#: What the server's account makes of a failure that a client saw.
Counted: TypeAlias = Literal["failure", "success", "nowhere", "unknown"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of failure: the text that clients get, and where Triton counts it."""

    name: str
    pattern: str
    counted: Counted


KINDS = (
    Kind("a full queue", r"Exceeds maximum queue size", "nowhere"),
    Kind("a time-out in the queue", r"Request timeout expired", "failure"),
    Kind("an exception in the model", r"Failed to process the request\(s\)", "failure"),
    Kind("a model whose process died", r"Stub process .* is not healthy", "failure"),
    Kind("no ready model", r"no available versions|is not found|not ready", "nowhere"),
    Kind("a refused request", r"^4\d\d |INVALID_ARGUMENT", "nowhere"),
    # behind it the server may have answered, or never have been asked
    Kind("a gateway's error", r"^(502|503|504)( |$)", "unknown"),
    Kind("no server", r"cannot connect|connection (was|lost|reset|refused)|UNAVAILABLE", "unknown"),
    Kind("the client's deadline", r"no answer within|DEADLINE_EXCEEDED|timeout", "unknown"),
    # what a model answers as an error (TritonError) counts as a success: open in server #7713
    Kind("an error in a response", r"^500 ", "unknown"),
)
OTHER = Kind("another error", "", "unknown")


def kind_of(text: str) -> Kind:
    """The kind of a failure, by the text that a client got."""
    return next((kind for kind in KINDS if re.search(kind.pattern, text, re.IGNORECASE)), OTHER)


@dataclass(frozen=True)
class Accounts:
    """Requests of one window. ``texts``: failures that clients saw, by their text."""

    good: int
    bad: int
    success: int
    failure: int
    texts: Mapping[str, int]

    @property
    def client(self) -> float:
        """Share of requests with a good answer, as clients saw it; NaN without any."""
        return self.good / (self.good + self.bad) if self.good + self.bad else math.nan

    @property
    def server(self) -> float:
        """The same by Triton's counters: what a dashboard shows."""
        counted = self.success + self.failure
        return self.success / counted if counted else math.nan

    def count(self, *counted: Counted) -> int:
        """Failures that clients saw and whose kind is counted so."""
        return sum(n for text, n in self.texts.items() if kind_of(text).counted in counted)

    @property
    def untold(self) -> int:
        """Failures that clients saw and the server's failure counter does not have."""
        return max(self.bad - self.failure, 0)

    def findings(self) -> list[str]:
        """Sentences on failures that the server's account hides."""
        if not self.untold:
            return []
        kinds: dict[str, int] = {}
        for text, n in self.texts.items():
            kind = kind_of(text)
            if kind.counted != "failure":
                kinds[kind.name] = kinds.get(kind.name, 0) + n
        told = ", ".join(
            f"{n}× {name}" for name, n in sorted(kinds.items(), key=lambda one: -one[1])
        )
        return [
            f"{self.untold} of {self.bad} failures that clients saw are in no failure counter of "
            f"Triton{f' ({told})' if told else ''}: an alert on nv_inference_request_failure does not "
            "see them"
        ]  # fmt: skip

    def missing(self) -> str:
        """What clients got and the server does not count; empty where it does."""
        if self.success < self.good:
            return (
                f"clients got {self.good} good answers, the server counts {self.success}: "
                "something in front of it answers"
            )
        certain = self.count("failure")
        if self.failure < certain:
            return f"clients got {certain} failures of kinds that Triton counts, it counts {self.failure}"
        return ""

    def surplus(self) -> str:
        """What the server counts and no client asked for; empty where there is nothing."""
        most = self.good + self.count("success", "unknown")
        if self.success > most:
            return (
                f"the server counts {self.success} successful requests, {most} can be explained: "
                "somebody else asks too, or a gateway repeats requests"
            )
        most = self.count("failure", "unknown")
        if self.failure > most:
            return (
                f"the server counts {self.failure} failures, clients saw {most} of the kind: a gateway "
                "repeats requests, or somebody else asks too"
            )
        return ""


def accounts_of(runs: Iterable[LoadResult]) -> Accounts | None:
    """Runs of one load as one window, their warm-ups included; None where a server told nothing.

    Without a warm-up the texts are those of all failures; with one the rest is "in the warm-up",
    of which nobody knows the kind.
    """
    good = bad = success = failure = 0
    texts: dict[str, int] = {}
    for run in runs:
        if run.served_whole is None:
            return None
        good, bad = good + run.good, bad + run.bad
        success += run.served_whole.success
        failure += run.served_whole.failure
        for text, n in run.error_texts.items():
            texts[text] = texts.get(text, 0) + n
        if (early := run.bad - run.error_texts.total()) > 0:
            texts["in the warm-up"] = texts.get("in the warm-up", 0) + early
    return Accounts(good, bad, success, failure, texts)
