"""A Prometheus watches the subject at rest, under load that a client counts, and as requests fail."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.measuring import concurrency_for, drive, permitted, prepare
from pytest_triton.monitor.templating import shortened
from pytest_triton.monitor.yamls import mappings, plain, read_yaml
from pytest_triton.monitoring.process import NoProgram
from pytest_triton.monitoring.prometheus import SCRAPE_S, Prometheus
from pytest_triton.monitoring.rig import Monitored
from pytest_triton.probe.types import ProbeError

if TYPE_CHECKING:
    from pytest_triton.load.requests import PreparedRequest
    from pytest_triton.load.result import LoadResult
    from pytest_triton.subject import Subject

#: Length of every range of an expression here, seconds of load, and of failing requests.
WINDOW_S, LOAD_S, FAILING_S = 4.0, 12.0, 4.0
#: Requests that are given up while they wait, at most, and seconds after which.
_GIVEN_UP, _PATIENCE_S = 80, 0.003
#: Seconds by which a scrape may be late.
_LATE_S = 2 * SCRAPE_S


@dataclass(frozen=True, slots=True)
class Span:
    """From and to, in s since the epoch."""

    start: float
    end: float


@dataclass(frozen=True)
class Watched:
    """What was watched. ``failing`` is None where no request could be made to fail.

    ``settled`` is the part of the load whose last :data:`WINDOW_S` seconds are load too.
    """

    prometheus: Prometheus
    model: str
    rest: Span
    load: Span
    failing: Span | None
    run: LoadResult

    @property
    def settled(self) -> Span:
        return Span(self.load.start + WINDOW_S + _LATE_S, self.load.end)

    @property
    def whole(self) -> Span:
        return Span(self.rest.start, (self.failing or self.load).end)

    def answered(self, at: float) -> float:
        """Good answers a second that the client got in the :data:`WINDOW_S` seconds before."""
        ended = self.run.ended_s + self.load.start
        return float(np.count_nonzero((ended > at - WINDOW_S) & (ended <= at))) / WINDOW_S

    def mean(self, expr: str) -> float:
        """Of the one series of an expression in the settled part; NaN where there is none."""
        found = self.prometheus.query_range(expr, self.settled.start, self.settled.end)
        values = [value for each in found for value in each.values if math.isfinite(value)]
        return sum(values) / len(values) if values and len(found) == 1 else math.nan


def watch(
    subject: Subject, monitored: Monitored, model: str, directory: Path, stack: ExitStack
) -> Watched:
    """Half a minute. Raises NotAssessed where Prometheus cannot run here."""
    requests = prepare(subject, model)
    rules = _recording(monitored.rule_files() if monitored.handed.rules else (), directory)
    prometheus = monitored.another("dashboards", rules)
    try:
        stack.enter_context(prometheus)
    except NoProgram as error:
        raise NotAssessed(Reason.BLOCKED, f"{error.message}: {error.remedy}") from None
    began = time.time()
    prometheus.scraped(began, times=5)
    rest = Span(began + _LATE_S, time.time())
    offset = time.time() - time.monotonic()
    run = drive(
        subject, model, requests, duration_s=LOAD_S,
        concurrency=permitted(subject.settings, concurrency_for(subject, model)),
    )  # fmt: skip
    load = Span(run.started + offset, run.finished + offset)
    failing = _failing(subject, model, requests, prometheus) if subject.deployment.owned else None
    prometheus.scraped(time.time(), times=2)
    return Watched(prometheus, model, rest, load, failing, run)


def _recording(files: Sequence[Path], directory: Path) -> list[Path]:
    """The recording rules with short ranges, evaluated as often as everything here."""
    made = []
    for number, path in enumerate(files):
        document = read_yaml(path)
        groups = [
            {"name": f"{number}-{at}", "rules": rules}
            for at, group in enumerate(mappings(document.get("groups")))
            if (rules := [_short(rule) for rule in mappings(group.get("rules"))
                          if "record" in rule])
        ]  # fmt: skip
        if groups:
            directory.mkdir(parents=True, exist_ok=True)
            made.append(directory / f"recording-{number:03}.yml")
            made[-1].write_text(json.dumps({"groups": groups}))
    return made


def _short(rule: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in plain(rule).items() if key in ("record", "labels")}
    return {**kept, "expr": shortened(str(rule.get("expr")), WINDOW_S)}


def _failing(
    subject: Subject, model: str, requests: list[PreparedRequest], prometheus: Prometheus
) -> Span | None:
    """Requests that wait behind others and are given up: Triton counts them as failed.

    Only over gRPC does it notice; None where it counted none (nothing had to wait).
    """
    grpc = subject.grpc
    if grpc is None:
        return None
    case = subject.case(model)
    began = time.time()
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(drive, subject, model, requests, duration_s=FAILING_S)
        for _ in range(_GIVEN_UP):
            if load.done():
                break
            with suppress(ProbeError):
                grpc.infer(model, case.inputs, timeout=_PATIENCE_S)
            time.sleep(FAILING_S / _GIVEN_UP / 2)
        load.result()
    prometheus.scraped(time.time(), times=2)
    ended = time.time()
    asked = f'sum(increase(nv_inference_request_failure{{model="{model}"}}[{WINDOW_S:g}s]))'
    found = prometheus.query_range(asked, began, ended)
    failed = any(value > 0 for each in found for value in each.values)
    return Span(began, ended) if failed else None
