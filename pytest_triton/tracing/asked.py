"""Requests that shall be traced: what was asked of whom, and when."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe_set import ADDSUB, CHAIN, SLOW
from pytest_triton.subject import Subject

HTTP, GRPC = "HTTP", "gRPC"
#: Models of the servers here, and those that the ensemble executes, in order.
MODELS = (ADDSUB, CHAIN, SLOW)
STEPS: Mapping[str, tuple[str, ...]] = {CHAIN: (ADDSUB, ADDSUB)}
#: Milliseconds that the slow model sleeps.
BUSY_MS = 60
_COUNT = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that was answered; ``sent`` and ``answered`` in monotonic nanoseconds."""

    id: str
    protocol: str
    model: str
    sent: int
    answered: int
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    #: Nanoseconds that the model sleeps at least.
    busy: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def steps(self) -> tuple[str, ...]:
        """The models that an ensemble executes."""
        return STEPS.get(self.model, ())

    @property
    def spans(self) -> int:
        """How many spans there are of it: its own, and two of each model that is executed."""
        return 2 + 2 * len(self.steps) if self.steps else 3

    def __str__(self) -> str:
        return f"{self.id!r} ({self.model} over {self.protocol})"


def ask(
    subject: Subject,
    model: str,
    protocol: str = HTTP,
    *,
    headers: Mapping[str, str] | None = None,
    busy_ms: int = BUSY_MS,
) -> Asked:
    """One request under an id of its own. Raises a ProbeError."""
    name = f"traced {next(_COUNT)}"
    inputs = _inputs(model, busy_ms, f"{subject.settings.seed} {name}")
    with ExitStack() as stack:
        probe: Any = subject.http if protocol == HTTP else subject.grpc
        if headers:
            probe = stack.enter_context(_with_headers(subject, protocol, headers))
        sent = time.monotonic_ns()
        answer = probe.infer(model, inputs, request_id=name)
        answered = time.monotonic_ns()
    busy = busy_ms * 1_000_000 if model == SLOW else 0
    return Asked(name, protocol, model, sent, answered, inputs, answer.outputs, busy, headers or {})


def ask_each(subject: Subject, plan: Sequence[tuple[str, str]]) -> list[Asked]:
    """Models and protocols, one after the other."""
    return [ask(subject, model, protocol) for model, protocol in plan]


def ask_at_once(subject: Subject, model: str, count: int, *, busy_ms: int) -> list[Asked]:
    """So many requests to a model at the same time."""
    with ThreadPoolExecutor(count) as pool:
        made = [pool.submit(ask, subject, model, busy_ms=busy_ms) for _ in range(count)]
        return [each.result() for each in made]


def _with_headers(subject: Subject, protocol: str, headers: Mapping[str, str]) -> Any:
    """A client that sends these headers, too."""
    deployment = subject.deployment
    if protocol == HTTP:
        return HttpProbe(deployment.http_url, headers=headers.items())
    from pytest_triton.probe.grpc import GrpcProbe

    assert deployment.grpc_url is not None
    return GrpcProbe(deployment.grpc_url, headers=headers.items())


def _inputs(model: str, busy_ms: int, seed: str) -> dict[str, Any]:
    if model == SLOW:
        return {"DELAY_MS": np.array([[busy_ms]], dtype=np.int32)}
    draw = random.Random(seed)
    row = [[draw.randrange(-1000, 1000) for _ in range(16)] for _ in range(2)]
    return {f"INPUT{at}": np.array([values], dtype=np.int32) for at, values in enumerate(row)}
