"""Serve the arms and measure each against the base, interleaved in pairs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pytest_triton.ablating.accuracy import Answers, accuracy
from pytest_triton.ablating.arms import BASE, CONTROL, Arm
from pytest_triton.ablating.asking import requests_of
from pytest_triton.ablating.building import Built, build, why
from pytest_triton.ablating.found import Ablation, Result, Row
from pytest_triton.ablating.judging import (
    ROUNDING,
    ROUNDING_ON_GPU,
    busy,
    noise,
    noisy,
    of_arm,
    of_latency,
    of_throughput,
)
from pytest_triton.ablating.sources import Source
from pytest_triton.deployment import Deployment
from pytest_triton.errors import Misused, SubjectFault, ToolError
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.load.engine import closed_loop
from pytest_triton.load.paired import Paired, Run, paired, told
from pytest_triton.load.requests import PreparedRequest, prepare_http
from pytest_triton.measuring import server_processes
from pytest_triton.probe.http import HttpProbe, wait_until
from pytest_triton.repository.config import is_complete, read_config
from pytest_triton.repository.sidecar import Tensors

Progress = Callable[[str], None]
#: Answers that a window has room for at least, beside those in flight.
_ANSWERS = 8
#: Seconds: a model may have to be compiled for its device while it loads.
LOADING, ANSWERING = 300.0, 120.0
_SETTING = re.compile(r'\] "?(?P<said>[^"\]]+?) for model instance \'(?P<model>[^\']+)\'')


@dataclass(frozen=True, slots=True)
class Wanted:
    """How to measure. ``seconds`` of one measurement of one side, in ``pairs`` pairs."""

    batches: tuple[int, ...]
    concurrencies: tuple[int, ...]
    length: int
    seconds: float
    pairs: int
    seed: int


@dataclass(slots=True)
class _Asked:
    """The requests of every batch size with what the reference answers."""

    requests: dict[int, list[Tensors]] = field(default_factory=dict)
    answers: dict[int, list[Answers]] = field(default_factory=dict)


def ablate(
    source: Source, arms: Sequence[Arm], work: Path, wanted: Wanted, *,
    device: str, release: str, say: Progress,
) -> Ablation:  # fmt: skip
    """Make the arms below ``work``, serve them, and measure each against the base.

    ``device``: "cpu" or "gpu". Raises Misused and ToolError where the base cannot be made or
    served; an arm that cannot is a result.
    """
    repository = work / "repository"
    repository.mkdir(parents=True)
    signature, built = build(source, arms, repository, say)
    most = signature.max_batch_size
    if max(wanted.batches) > max(most, 1):
        raise Misused(
            f"--batch {max(wanted.batches)}: the model takes {most} rows at most",
            f"give --batch up to {max(most, 1)}",
        )
    asked = _Asked()
    for batch in wanted.batches:
        asked.requests[batch] = requests_of(signature, batch, wanted.length, wanted.seed)
    say(f"asking {source.reference}")
    for batch, requests in asked.requests.items():
        if (answers := source.answers(requests)) is not None:
            asked.answers[batch] = answers
    spec = ServerSpec(
        repository, models=(), device=device, release=release, log_path=work / "server.log",
        # a second process that completes what is complete would be most of the time to load
        auto_complete=False if is_complete(read_config(repository / BASE)) else None,
    )  # fmt: skip
    with embedded(spec, progress=say) as server:
        made = Ablation(
            source.name, source.kind, source.reference, source.choice(), wanted.length,
            wanted.seconds, wanted.pairs, wanted.seed, _versions(server),
        )  # fmt: skip
        _Session(server, made, asked, wanted, source.precision, say).run(built)
    conclude(made)
    return made


def conclude(made: Ablation) -> None:
    """What every arm comes to, at the loads where the control shows no effect."""
    off = {
        (row.batch, row.concurrency): f"batch {row.batch}, {row.concurrency} at once "
        f"(throughput {told(row.throughput, row.throughput_interval)}, "
        f"p50 {told(row.latency, row.latency_interval)})"
        for arm in made.arms if arm.name == CONTROL for row in arm.rows
        if noisy(row.throughput_interval, row.latency_interval)
    }  # fmt: skip
    made.noise = " ".join(filter(None, (noise(list(off.values())), busy(made.foreign_cpu))))
    for arm in made.arms:
        if arm.name == CONTROL and arm.refused:
            made.noise = f"There is no control, so that nothing is known of noise: {arm.refused}"
    for arm in made.arms:
        near = arm.accuracy is None or arm.accuracy.near
        if arm.refused:
            arm.verdict = "refused"
        elif arm.name in (BASE, CONTROL) and near:
            arm.verdict = arm.name
        else:
            quiet = [row for row in arm.rows if (row.batch, row.concurrency) not in off]
            arm.verdict = of_arm((row.throughput_word for row in quiet), near=near)


class _Session:
    """One server: the base stays loaded, and one arm at a time comes beside it."""

    def __init__(
        self, server: Deployment, made: Ablation, asked: _Asked, wanted: Wanted,
        precision: str, say: Progress,
    ) -> None:  # fmt: skip
        self.server, self.made, self.asked, self.wanted = server, made, asked, wanted
        self.precision, self.say = precision, say
        self.pids = server_processes(server)
        self.rounding = ROUNDING_ON_GPU if server.device == "gpu" else ROUNDING
        self.base: dict[int, list[PreparedRequest]] = {}
        #: (model, batch) -> seconds of a request that comes alone, the median.
        self.alone: dict[tuple[str, int], float] = {}

    def run(self, built: Sequence[Built]) -> None:
        for entry in built:
            result = Result(entry.arm.name, entry.arm.title, entry.bytes, entry.refused)
            self.made.arms.append(result)
            if not result.refused:
                try:
                    self._arm(entry.arm, result)
                except (SubjectFault, ToolError, AssertionError) as error:
                    if entry.arm.name == BASE:
                        raise
                    result.refused, result.rows = why(error), []

    def _arm(self, arm: Arm, result: Result) -> None:
        with closing(HttpProbe(self.server.http_url, timeout=ANSWERING)) as http:
            if arm.name == BASE:
                self._load(http, arm.name)  # the first of a server pays for what all share
                self._unload(http, arm.name)
            result.load_s = self._load(http, arm.name)
            try:
                result.settings = self._settings(arm.name)
                prepared = self._answers(http, arm, result)
                if arm.name == BASE:
                    self.base = prepared
                    return
                for batch in self.wanted.batches:
                    for concurrency in self.wanted.concurrencies:
                        self.say(f"measuring {arm.name}, batch {batch}, {concurrency} at a time")
                        result.rows.append(self._row(arm.name, batch, concurrency, prepared[batch]))
            finally:
                if arm.name != BASE:
                    self._unload(http, arm.name)

    def _answers(
        self, http: HttpProbe, arm: Arm, result: Result
    ) -> dict[int, list[PreparedRequest]]:
        """Judge its answers to all requests, and prepare these with the answers to expect."""
        allowed = self.rounding[arm.dtype or self.precision]
        every: list[Answers] = []
        prepared: dict[int, list[PreparedRequest]] = {}
        for batch, requests in self.asked.requests.items():
            answers: list[Answers] = []
            taken: list[float] = []
            for request in requests:
                began = time.perf_counter()
                answers.append(http.infer(arm.name, request).outputs)
                taken.append(time.perf_counter() - began)
            self.alone[arm.name, batch] = float(np.median(taken))
            if arm.name == BASE:
                self.asked.answers.setdefault(batch, list(answers))
            every += answers
            largest = max((_largest(a) for one in answers for a in one.values()), default=0.0)
            prepared[batch] = [
                # a batch of other rows rounds otherwise, and half precision does so most
                prepare_http(arm.name, "", request, expected=answer, batch=batch,
                             rtol=0.0, atol=2 * allowed * max(largest, 1e-6))
                for request, answer in zip(requests, answers, strict=True)
            ]  # fmt: skip
        wanted = [answer for batch in prepared for answer in self.asked.answers[batch]]
        result.accuracy = accuracy(every, wanted, allowed=allowed, choice=self.made.choice)
        return prepared

    def _row(self, arm: str, batch: int, concurrency: int, requests: list[PreparedRequest]) -> Row:
        def runs(name: str, prepared: list[PreparedRequest], seconds: float) -> Run:
            # a slow arm needs a window of some answers, and a rate does not mind its length
            once = self.alone[name, batch]
            window = max(seconds, (_ANSWERS + concurrency) * once)
            return lambda: closed_loop(
                self.server.http_url, prepared, concurrency=concurrency, duration_s=window,
                warmup_s=max(seconds / 4, concurrency * once), check_every=10,
                server_pids=self.pids, timeout_s=60.0,
            )  # fmt: skip

        def measure(seconds: float) -> Paired:
            base = runs(BASE, self.base[batch], seconds)
            return paired(base, runs(arm, requests, seconds), pairs=self.wanted.pairs)

        if concurrency > 1:  # the batches that come together now are compiled before they count
            for name, prepared in ((BASE, self.base[batch]), (arm, requests)):
                runs(name, prepared, self.wanted.seconds / 2)()
        try:
            found = measure(self.wanted.seconds)
        except AssertionError as error:
            found = self._again(measure, error)
        return Row(
            batch, concurrency, found.a, found.b,
            found.throughput, found.throughput_interval, of_throughput(found.throughput_interval),
            found.latency, found.latency_interval, of_latency(found.latency_interval),
            found.throughput_pairs, found.latency_pairs, found.foreign_cpu,
        )  # fmt: skip

    def _again(self, measure: Callable[[float], Paired], error: AssertionError) -> Paired:
        """Others may have had the machine for a whole window; wrong answers stay wrong."""
        sides = "A is the base, B this arm"
        if "no answer" not in str(error):
            raise ToolError(f"wrong under load ({sides}): {error}") from None
        try:
            return measure(max(1.0, 2 * self.wanted.seconds))
        except AssertionError as again:
            raise ToolError(f"not measured ({sides}): {again}; give more --seconds") from None

    def _load(self, http: HttpProbe, model: str) -> float:
        began = time.perf_counter()
        http.load(model, timeout=LOADING)
        return time.perf_counter() - began

    def _unload(self, http: HttpProbe, model: str) -> None:
        """And wait: what is still going on would be measured with the next arm."""
        http.unload(model)

        def gone() -> bool:
            states = {one["name"]: one.get("state") for one in http.index()}
            return states.get(model) in (None, "UNAVAILABLE")

        wait_until(gone, timeout=30.0)

    def _settings(self, model: str) -> tuple[str, ...]:
        """What the backend told about this model when it loaded, the last time."""
        assert self.server.log_path is not None
        text = self.server.log_path.read_text("utf-8", errors="replace")
        said = [one["said"] for one in _SETTING.finditer(text) if one["model"] == model]
        return tuple(dict.fromkeys(said))


def _largest(array: np.ndarray[Any, Any]) -> float:
    if array.dtype.kind not in "fiu" or not array.size:
        return 0.0
    finite = np.abs(array[np.isfinite(array)].astype(np.float64))
    return float(finite.max()) if finite.size else 0.0


def _versions(server: Deployment) -> dict[str, Any]:
    import os

    import torch

    with closing(HttpProbe(server.http_url)) as http:
        version = str(http.server_metadata().get("version"))
    gpu = server.device == "gpu"
    return {
        "triton": version, "release": server.release, "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name() if gpu else "CPU",
        "cores": len(os.sched_getaffinity(0)),
    }  # fmt: skip
