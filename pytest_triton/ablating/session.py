"""One server in which the arms are loaded in turn and measured against the base."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pytest_triton.ablating.accuracy import Answers, accuracy
from pytest_triton.ablating.arms import BASE, CONTROL, Arm
from pytest_triton.ablating.building import Built, why
from pytest_triton.ablating.concluding import pooled
from pytest_triton.ablating.found import Ablation, Result, Row
from pytest_triton.ablating.judging import ROUNDING, ROUNDING_ON_GPU
from pytest_triton.deployment import Deployment
from pytest_triton.errors import SubjectFault, ToolError
from pytest_triton.load.engine import closed_loop
from pytest_triton.load.paired import Paired, Run, paired
from pytest_triton.load.requests import PreparedRequest, prepare_http
from pytest_triton.measuring import server_processes
from pytest_triton.probe.http import HttpProbe, wait_until
from pytest_triton.probe.types import ConnectionFailed
from pytest_triton.repository.sidecar import Tensors

Progress = Callable[[str], None]
#: Answers that a window has room for at least, beside those in flight.
_ANSWERS = 8
#: Seconds: a model may have to be compiled for its device while it loads.
LOADING, ANSWERING = 300.0, 120.0
#: Of a run: no answer in time, or the base's fault; wrong answers of the arm are neither.
_MAY_PASS = re.compile(
    r"got no answer|^run A |bad answers: \d+× (no whole answer|cannot connect)[^;]*$"
)
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
class Asked:
    """The requests of every batch size with what the reference answers."""

    requests: dict[int, list[Tensors]] = field(default_factory=dict)
    answers: dict[int, list[Answers]] = field(default_factory=dict)


class Ended(ToolError):
    """The server is gone."""


class NotMeasured(ToolError):
    """No speed was had, through no fault of the arm that is known."""


class Session:
    """One server: the base stays loaded, and one arm at a time comes beside it."""

    def __init__(
        self, server: Deployment, made: Ablation, asked: Asked, wanted: Wanted,
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
                self._try(entry.arm, result)
        self._control_again(built)

    def _control_again(self, built: Sequence[Built]) -> None:
        """Noise may have come since: the control is measured at both ends."""
        measured = {one.name: one for one in self.made.measured}
        if CONTROL not in measured or len(measured) < 2:
            return
        control, again = measured[CONTROL], Result(CONTROL, "")
        arm = next(entry.arm for entry in built if entry.arm.name == CONTROL)
        self._try(arm, again)
        late = {(row.batch, row.concurrency): row for row in again.rows}
        control.rows = [
            pooled(row, late[load]) if (load := (row.batch, row.concurrency)) in late else row
            for row in control.rows
        ]
        if reason := again.refused or again.unmeasured:
            control.unmeasured = f"once more at the end: {reason}"

    def _try(self, arm: Arm, result: Result) -> None:
        """Measure an arm; where that fails the rows that are there stay."""
        try:
            self._arm(arm, result)
        except (SubjectFault, ToolError, AssertionError) as error:
            try:
                self._check_alive()
            except Ended as gone:
                result.unmeasured = gone.message
                raise
            if arm.name == BASE:
                raise
            late = isinstance(error, ConnectionFailed) and error.kind == "timeout"
            if late or isinstance(error, NotMeasured):
                result.unmeasured = why(error)
            else:
                result.refused = why(error)

    def _check_alive(self) -> None:
        """Raise Ended when tritonserver is gone, or just going."""
        for _ in range(20):
            try:
                if self.server.pid is not None:
                    os.kill(self.server.pid, 0)
                with closing(HttpProbe(self.server.http_url, timeout=2.0)) as http:
                    http.server_metadata()
                return
            except ProcessLookupError:
                # its stubs speak last, and only of its end
                lines = self.server.log_tail().splitlines()
                last = next((one.strip() for one in reversed(lines) if "pb_stub" not in one), "")
                raise Ended(
                    "tritonserver ended while it was measured; the last that it said: "
                    f"{last or 'nothing'}",
                    "see whether the machine's memory suffices; leave the arm out with --arms",
                ) from None
            except SubjectFault:
                time.sleep(0.1)

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
                        try:
                            row = self._row(arm.name, batch, concurrency, prepared[batch])
                            result.rows.append(row)
                        except NotMeasured as error:  # another load may be
                            self._check_alive()
                            result.unmeasured = why(error)
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
            found.throughput, found.throughput_interval,
            found.latency, found.latency_interval,
            found.throughput_pairs, found.latency_pairs, found.foreign_cpu,
        )  # fmt: skip

    def _again(self, measure: Callable[[float], Paired], error: AssertionError) -> Paired:
        """Others may have had the machine for a whole window; wrong answers stay wrong."""
        sides = "A is the base, B this arm"
        try:
            if not _MAY_PASS.search(str(error)):
                raise error
            return measure(max(1.0, 2 * self.wanted.seconds))
        except AssertionError as again:
            if _MAY_PASS.search(str(again)):
                reason = f"{again} ({sides}); give more --seconds"
                raise NotMeasured(reason) from None
            raise ToolError(f"wrong under load ({sides}): {again}") from None

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
