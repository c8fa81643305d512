"""Runs that several clauses look at: one request at a time, a few at once, and at a light rate.

Each is made once, the first time that it is asked for.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
import urllib3

from pytest_triton.criteria import Inconclusive, NotAssessed, Reason
from pytest_triton.errors import SubjectFault, ToolError
from pytest_triton.load.engine import here
from pytest_triton.load.network import round_trip_ms
from pytest_triton.load.requests import PreparedRequest
from pytest_triton.load.result import LoadResult
from pytest_triton.measuring import drive, drive_open, heaviest_of, prepare
from pytest_triton.subject import Subject

#: Requests in flight of the busy run.
CONCURRENCY = 8
#: Seconds of the runs.
ALONE_S, BUSY_S, LIGHT_S = 1.5, 2.0, 5.0
#: Answers at a light rate that can tell, and seconds that they may take.
TELL, TELL_S = 320, 60.0
#: A light rate: this share of what one request at a time reaches, and requests a second at most.
LIGHT, MOST = 0.4, 200.0
#: Foreign cores from which a run says little: hosts with many cores are never quite alone.
FOREIGN = max(0.25, 0.02 * (os.cpu_count() or 1))
#: Median lateness of the metronome, in ms, from which this machine is not at peace.
RESTLESS = 1.5
#: Readings of one counter that tell one server from several.
LOOKS = 8
#: Answers that a run has to have, and seconds that a slow model may take for them.
ENOUGH, PATIENCE_S = 20, 30.0


@dataclass(frozen=True)
class Timed:
    """One model under load, and the server's own account of a request, in ms."""

    model: str
    result: LoadResult

    @property
    def latency_ms(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Of good answers, in the order in which they ended."""
        return np.asarray(self.result.latency_us, np.float64) / 1e3

    @property
    def inside_ms(self) -> float:
        """Mean time of a request by the server's account, from its arrival to its answer."""
        served = self.result.served
        if served is None and self.result.unread:
            raise Inconclusive(
                f"the statistics of {self.model} cannot be used: {self.result.unread}"
            )
        if served is None or not served.success:
            raise SubjectFault(
                f"the statistics of {self.model} do not count what was sent: "
                f"{self.result.unread or '0 successful requests'}"
            )
        return served.request_ns / served.success / 1e6


def model_of(subject: Subject) -> str:
    """The PyTorch model that computes most; one with a response cache says nothing of the model."""
    plain = {
        name: model for name, model in subject.pytorch.items()
        if not (model.config.get("response_cache") or {}).get("enable")
    }  # fmt: skip
    if not plain:
        raise NotAssessed(Reason.NOT_APPLICABLE, "every PyTorch model has a response cache")
    return heaviest_of(subject, plain)[0]


def requests_of(subject: Subject) -> tuple[str, list[PreparedRequest]]:
    """The model, and distinct requests for it with their right answers."""
    name = model_of(subject)
    return name, subject.once(f"timed requests {name}", lambda: prepare(subject, name))


def _once(subject: Subject, key: str, make: Callable[[], Timed]) -> Timed:
    """Made once; what could not be measured is not measured again for the next clause."""

    def tried() -> Timed | Exception:
        try:
            return make()
        except (SubjectFault, Inconclusive, NotAssessed, AssertionError) as error:
            return error

    found = subject.once(key, tried)
    if isinstance(found, Exception):
        raise found
    return found


def alone(subject: Subject) -> Timed:
    """One request at a time."""
    return _once(subject, "timed alone", lambda: _closed(subject, 1, ALONE_S))


def busy(subject: Subject) -> Timed:
    """Eight requests at once. NotAssessed where the settings allow fewer."""
    subject.permit(CONCURRENCY)
    return _once(subject, "timed busy", lambda: _closed(subject, CONCURRENCY, BUSY_S))


def light_rate(subject: Subject) -> float:
    """Requests a second at which hardly any request meets another one in the server, and half of
    the permitted ones are under way at most."""
    timed = alone(subject)
    mean = float(timed.latency_ms.mean())
    try:
        inside = min(timed.inside_ms, mean)
    except (SubjectFault, Inconclusive):  # somebody else says so
        inside = mean
    return min(MOST, LIGHT * 1e3 / inside, CONCURRENCY / 2 * 1e3 / mean)


def light(subject: Subject, turn: int = 0) -> Timed:
    """A light, constant rate, each request at its planned time, until enough are answered; each
    ``turn`` is a run of its own.

    NotAssessed for a model so slow that this would take more than a minute.
    """
    rate = light_rate(subject)
    if TELL / rate > TELL_S:
        raise NotAssessed(
            Reason.NOT_APPLICABLE,
            f"{TELL} requests that meet nobody would take {TELL / rate:.0f} s: the model takes "
            f"{alone(subject).latency_ms.mean():.0f} ms",
        )
    subject.permit(CONCURRENCY)
    seconds = max(LIGHT_S, TELL / rate)
    name, requests = requests_of(subject)

    def measured() -> Timed:
        return Timed(name, drive_open(subject, name, requests, rate=rate, duration_s=seconds))

    return _once(subject, f"timed light {turn}", measured)


def _closed(subject: Subject, concurrency: int, seconds: float) -> Timed:
    name, requests = requests_of(subject)
    result = drive(subject, name, requests, concurrency=concurrency, duration_s=seconds)
    if 0 < len(result.latency_us) < ENOUGH:  # a slow one: as long as it needs
        longer = min(PATIENCE_S, 2 * ENOUGH * float(result.latency_us.mean()) / 1e6 / concurrency)
        result = drive(subject, name, requests, concurrency=concurrency, duration_s=longer)
    found = Timed(name, result)
    if not len(result.latency_us) and result.errors:
        raise SubjectFault(f"{name}: no answer under load: {result.error_texts.most_common(2)}")
    if len(result.latency_us) < ENOUGH:
        raise Inconclusive(f"{name}: {len(result.latency_us)} answers in {result.duration_s:.1f} s")
    return found


def restless(result: LoadResult) -> str:
    """Why this machine was not at peace; empty when it was, as far as anybody can see."""
    if result.foreign_cpu > FOREIGN:
        return f"others used {result.foreign_cpu:.1f} cores meanwhile"
    if math.isnan(result.foreign_cpu) and len(result.beat_us):
        late = float(np.median(result.beat_us)) / 1e3
        if late > RESTLESS:
            return f"this machine was busy: timers were {late:.1f} ms late"
    return ""


def network_ms(subject: Subject) -> float:
    """A round trip to the endpoint. On this machine by TCP's handshake, which no gateway delays;
    elsewhere what a health check takes (tunnels and load balancers shake hands for others), and
    a request's bytes at 10 MB/s."""

    def measured() -> float:
        url = subject.deployment.http_url
        try:
            handshake = round_trip_ms(url)
        except OSError as error:
            raise ToolError(f"no connection to {url}: {error}") from None
        if here(urllib3.util.parse_url(url).host or ""):
            return handshake
        taken = []
        for _ in range(LOOKS):
            began = time.perf_counter()
            subject.http.live()
            taken.append(time.perf_counter() - began)
        _, requests = requests_of(subject)
        return max(handshake, median(taken) * 1e3) + len(requests[0].body) / 10e6 * 1e3 / 2

    return subject.once("round trip", measured)


def plain(result: LoadResult) -> None:
    """Errors and wrong answers are no measurement: AssertionError with their texts."""
    assert not result.errors, f"{result.errors} errors: {result.error_texts.most_common(2)}"
    assert not result.wrong, f"{result.wrong} wrong answers: {result.wrong_texts.most_common(2)}"


def several_servers(subject: Subject) -> str:
    """Whether readings of the same counters at rest differ: each server behind an address has its
    own. Empty where they do not."""
    if subject.deployment.owned:
        return ""
    from pytest_triton.load.serverside import reading

    name = model_of(subject)
    seen = {reading(subject.http.statistics(name), name).success for _ in range(LOOKS)}
    return f"{len(seen)} servers with counters of their own answer" if len(seen) > 1 else ""
