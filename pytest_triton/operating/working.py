"""Requests to the models that say when they worked, each on a connection of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from pytest_triton.deployment import Deployment
from pytest_triton.exactly import not_own
from pytest_triton.launch.supervisor import descendants, mapped_regions
from pytest_triton.monitor.metrics import scrape
from pytest_triton.operating.models import BUSY, MADE, SPAN, WORK, made
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.types import ConnectionFailed, ProbeError, RequestFailed

Protocol: TypeAlias = Literal["http", "grpc"]
PENDING = "nv_inference_pending_request_count"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request; times are seconds of :func:`time.monotonic`.

    ``refusal``: the text of an error, or of a connection that failed; ``silent``: nothing came
    within the time-out; ``wrong``: what is wrong with its answer. All empty: answered right.
    ``span`` is (began, ended) of its execution in nanoseconds of the same clock, (0, 0) without.
    """

    name: str
    model: str
    sent: float
    ended: float
    refusal: str = ""
    silent: bool = False
    wrong: str = ""
    span: tuple[int, int] = (0, 0)

    @property
    def right(self) -> bool:
        return not (self.refusal or self.silent or self.wrong)

    @property
    def told(self) -> str:
        """In words, for who expected a right answer."""
        if self.silent:
            return f"got no answer within {self.ended - self.sent:.0f} s"
        if self.refusal:
            return f"is not answered: {self.refusal}"
        return self.wrong or "is answered right"


def probe(deployment: Deployment, protocol: Protocol, *, timeout: float = 10.0) -> Any:
    """A client with a connection of its own, to be closed."""
    if protocol == "http":
        return HttpProbe(deployment.http_url, timeout=timeout)
    from pytest_triton.probe.grpc import GrpcProbe

    assert deployment.grpc_url is not None
    return GrpcProbe(deployment.grpc_url, timeout=timeout)


def work(
    deployment: Deployment,
    protocol: Protocol,
    name: str,
    value: int,
    milliseconds: int,
    *,
    model: str = BUSY,
    timeout: float = 30.0,
) -> Outcome:
    """Let a busy model work once, on a new connection; never raises a ProbeError."""
    inputs = {WORK: np.array([[value, milliseconds]], np.int32)}
    with probe(deployment, protocol, timeout=timeout) as client:
        sent = time.monotonic()
        try:
            # JSON over HTTP: faults on the wire can tell one request from another.
            keywords = {"binary": False} if protocol == "http" else {}
            answer = client.infer(model, inputs, request_id=name, **keywords)
        except ConnectionFailed as error:
            silent = error.kind == "timeout"
            refusal = "" if silent else str(error)
            return Outcome(name, model, sent, time.monotonic(), refusal, silent)
        except RequestFailed as error:
            return Outcome(name, model, sent, time.monotonic(), str(error))
        except ProbeError as error:
            return Outcome(name, model, sent, time.monotonic(), wrong=str(error))
        ended = time.monotonic()
    span = answer.outputs.get(SPAN, np.zeros(3, np.int64)).reshape(-1).tolist()
    wrong = not_own(answer, name, model, "1")
    told = answer.outputs.get(MADE)
    if not wrong and (told is None or told.tolist() != [[made(value)]]):
        got = None if told is None else told.tolist()
        wrong = f"answers {got} to {value}, not {[[made(value)]]}"
    return Outcome(name, model, sent, ended, wrong=wrong, span=(span[0], span[1]))


def pending(deployment: Deployment, model: str = BUSY) -> int:
    """How many requests wait in a model's queue, by the metrics."""
    return int(scrape(str(deployment.metrics_url)).value(PENDING, model=model) or 0)


def regions(deployment: Deployment) -> set[str]:
    """Names below /dev/shm of the regions that the processes of a server of ours have mapped."""
    assert deployment.pid is not None
    return set().union(*(mapped_regions(pid) for pid in descendants(deployment.pid)))
