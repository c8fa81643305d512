"""The fixtures ``triton_load`` and ``triton_metrics``: load and deltas around a block."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_triton.deployment import Deployment
from pytest_triton.errors import ToolError
from pytest_triton.launch.turns import Turns
from pytest_triton.options import UNBOUNDED
from pytest_triton.settings import Settings

if TYPE_CHECKING:
    from pytest_triton.load.beside import Beside
    from pytest_triton.load.plan import Arrivals, Plan
    from pytest_triton.load.requests import PreparedRequest
    from pytest_triton.load.result import LoadResult
    from pytest_triton.monitor.metrics import Scrape
    from pytest_triton.served_model import ServedModel
    from pytest_triton.subject import Subject


#: Counters that have to be at rest when a block ends, seconds of rest, and seconds at most.
_COUNTERS = (
    "nv_inference_request_success",
    "nv_inference_request_failure",
    "nv_inference_count",
    "nv_inference_exec_count",
)
_REST_S, _SETTLES_S = 0.05, 2.0


class Difference:
    """What a block added to one model's counters; filled when the block ends."""

    def __init__(self, model: str, version: str | None) -> None:
        self.model = model
        self._labels = {"model": model} | ({"version": version} if version else {})
        self._delta: Any = None

    def value(self, family: str, **labels: str) -> float:
        """The increase of a counter, summed over the series that carry these labels."""
        if self._delta is None:
            raise RuntimeError("the block has not ended yet")
        return float(self._delta.value(family, **{**self._labels, **labels}))

    @property
    def success(self) -> float:
        return self.value("nv_inference_request_success")

    @property
    def failure(self) -> float:
        return self.value("nv_inference_request_failure")

    @property
    def inferences(self) -> float:
        return self.value("nv_inference_count")

    @property
    def executions(self) -> float:
        return self.value("nv_inference_exec_count")


class Metrics:
    """Scrapes and deltas of one server."""

    def __init__(
        self, deployment: Deployment, turns: Turns | None = None, settings: Settings | None = None
    ) -> None:
        self._deployment = deployment
        self._turns = turns or Turns(None)
        self._settings = settings or Settings()

    def scrape(self) -> Scrape:
        """All metrics now. Raises ToolError where no endpoint is known."""
        from pytest_triton.monitor.metrics import scrape
        from pytest_triton.probe.tls import ssl_context

        if not self._deployment.metrics_url:
            raise ToolError("no metrics endpoint is known", "give --triton-metrics-url URL")
        files = self._settings.tls_ca, self._settings.tls_cert, self._settings.tls_key
        return scrape(
            self._deployment.metrics_url,
            headers=self._deployment.headers,
            ssl_context=ssl_context(*files),
        )

    @contextmanager
    def delta(self, model: str, version: str | None = None) -> Iterator[Difference]:
        """What the block adds to the counters of one model."""
        from pytest_triton.monitor.metrics import delta

        difference = Difference(model, version)
        with self._turns.turn(exclusive=True):
            before = self.scrape()
            yield difference
            difference._delta = delta(before, self._at_rest(model))

    def _at_rest(self, model: str) -> Scrape:
        """Triton counts a request behind its answer: wait until nothing is added any more."""
        deadline = time.monotonic() + _SETTLES_S
        found = self.scrape()
        while True:
            time.sleep(_REST_S)
            later = self.scrape()
            still = all(
                found.value(family, model=model) == later.value(family, model=model)
                for family in _COUNTERS
            )
            if still or time.monotonic() > deadline:
                return later
            found = later


class Load:
    """``triton_load(model, concurrency=…)``: a closed loop with answers that are checked."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    def __call__(
        self,
        model: str,
        *,
        concurrency: int = 1,
        duration_s: float = 2.0,
        count: int | None = None,
        check_every: int = 10,
    ) -> LoadResult:
        """Keep ``concurrency`` requests in flight for ``duration_s`` seconds, or ``count`` of them.

        Inputs are distinct and seeded; every ``check_every``-th answer is compared with the
        one that the same input got alone. A budget that these seconds cannot tell is measured
        on by ``require``, up to its ``max_s``. Raises ToolError without permission for load.
        """
        requests = self._prepared(model)

        def measure(seconds: float | None, answers: int | None = None) -> LoadResult:
            return drive(
                self._subject,
                model,
                requests,
                concurrency=concurrency,
                duration_s=seconds,
                count=answers,
                check_every=check_every,
            )

        return replace(measure(None if count else duration_s, count), again=measure)

    def beside(
        self,
        model: str,
        calibration: str,
        *,
        concurrency: int = 1,
        turn_s: float = 1.0,
        pairs: int = 6,
        check_every: int = 10,
    ) -> Beside:
        """Load on ``model`` and on ``calibration`` in turns of ``turn_s`` seconds, A B, B A, …

        ``triton_load.beside("mlp", "calibration").require(p95_times=1.5)`` asks for a latency
        that does not depend on how fast the machine is. A turn needs 100 answers for p95.
        """
        from pytest_triton.load.beside import Beside

        def measured(name: str) -> Callable[[float], LoadResult]:
            requests = self._prepared(name)
            return lambda seconds: drive(
                self._subject,
                name,
                requests,
                concurrency=concurrency,
                duration_s=seconds,
                check_every=check_every,
            )

        return Beside(measured(model), measured(calibration), turn_s=turn_s, pairs=pairs)

    def _prepared(self, model: str) -> list[PreparedRequest]:
        if model not in self._subject.models:
            raise ToolError(
                f"model {model!r} is not ready", f"ready are {', '.join(self._subject.models)}"
            )
        return prepare(self._subject, model)


def prepare(
    subject: Subject, model: str, *, count: int = 64, batch: int = 1, as_model: str | None = None
) -> list[PreparedRequest]:
    """Distinct requests whose right answers are known: each input was asked alone before.

    ``as_model`` sends them to a model of another name with the same weights.
    """
    from pytest_triton.load.requests import prepare_http

    prepared = []
    taken = []
    for at, case in enumerate(subject.distinct(model, count, batch=batch)):
        began = time.perf_counter()
        answer = subject.answer(model, case)
        taken.append(time.perf_counter() - began)
        rtol, atol = subject.rounding(case, answer.outputs)
        prepared.append(
            prepare_http(
                as_model or model,
                "",
                case.inputs,
                expected=answer.outputs,
                batch=max(case.batch, 1),
                rtol=rtol,
                atol=atol,
                request_id=f"load {at:03}",
                answered_by="" if as_model else answer.model_version,
            )
        )
    middle = sorted(taken)[len(taken) // 2] if taken else 0.0
    subject.once(f"alone {model} {batch}", lambda: middle)
    return prepared


def deadline_for(subject: Subject, model: str, in_flight: int) -> float:
    """Seconds for one request among so many: a slow model is no fault, a stall is. At least 10 s,
    and four times what they take one behind the other."""
    alone: float = subject.once(f"alone {model} 1", lambda: 0.0)
    return max(10.0, 4 * in_flight * alone)


def concurrency_for(subject: Subject, model: str) -> int:
    """Requests in flight that can fill a batch: twice the largest one, between 8 and 32."""
    return max(8, min(32, 2 * subject.models[model].max_batch_size))


def drive(
    subject: Subject,
    model: str,
    requests: list[PreparedRequest],
    *,
    concurrency: int | None = None,
    duration_s: float | None = None,
    count: int | None = None,
    check_every: int = 10,
    warmup_s: float = 0.3,
    timeout_s: float | None = None,
) -> LoadResult:
    """Closed-loop load, within what the settings allow on an attached endpoint."""
    from pytest_triton.load.engine import closed_loop

    wanted = permitted(subject.settings, concurrency or concurrency_for(subject, model))
    timeout_s = timeout_s or deadline_for(subject, model, wanted)
    return closed_loop(
        subject.deployment.http_url,
        requests,
        concurrency=wanted,
        duration_s=duration_s,
        count=count,
        warmup_s=warmup_s,
        timeout_s=timeout_s,
        max_s=max(60.0, 4 * timeout_s),
        check_every=check_every,
        **_common(subject, model),
    )


def drive_open(
    subject: Subject,
    model: str,
    requests: list[PreparedRequest],
    *,
    rate: float | None = None,
    duration_s: float | None = None,
    arrivals: Arrivals = "constant",
    trace: Plan | None = None,
    check_every: int = 10,
    warmup_s: float = 0.3,
    timeout_s: float | None = None,
    connections: int = 256,
) -> LoadResult:
    """Open-loop load. On an attached endpoint no more connections than the settings allow."""
    from pytest_triton.load.engine import open_loop

    timeout_s = timeout_s or deadline_for(subject, model, min(connections, 32))
    return open_loop(
        subject.deployment.http_url,
        requests,
        rate=rate,
        duration_s=duration_s,
        arrivals=arrivals,
        trace=trace,
        warmup_s=warmup_s,
        timeout_s=timeout_s,
        connections=permitted(subject.settings, connections),
        check_every=check_every,
        **_common(subject, model),
    )


def _common(subject: Subject, model: str) -> dict[str, Any]:
    """What every load on a subject has: who it is, and how its own counters are read."""
    from pytest_triton.load.serverside import reading

    return {
        "seed": subject.settings.seed,
        "headers": subject.deployment.headers,
        "server_pids": server_processes(subject.deployment),
        "tls": tls_files(subject.settings),
        "counters": lambda: reading(subject.http.statistics(model), model),
    }


def tls_files(settings: Settings) -> tuple[str | None, str | None, str | None]:
    """The files of --triton-tls-ca, -cert and -key, as the load engine takes them."""
    ca, cert, key = (
        str(path) if path else None
        for path in (settings.tls_ca, settings.tls_cert, settings.tls_key)
    )
    return ca, cert, key


def permitted(settings: Settings, concurrency: int) -> int:
    """The concurrency that --triton-allow-load admits. Raises ToolError where it is not said."""
    if settings.kind != "endpoint":
        return concurrency
    if settings.allow_load is None:
        raise ToolError("load on an attached endpoint was not allowed", "say --triton-allow-load")
    return (
        concurrency if settings.allow_load == UNBOUNDED else min(concurrency, settings.allow_load)
    )


def server_processes(deployment: Deployment) -> tuple[int, ...]:
    """The roots of the process trees that serve: the supervisor of a server of ours."""
    if not deployment.owned or deployment.pid is None:
        return ()
    import psutil

    try:
        return (psutil.Process(deployment.pid).ppid(),)
    except psutil.Error:
        return (deployment.pid,)


def heaviest_of(subject: Subject, models: Mapping[str, ServedModel]) -> list[str]:
    """Names with the largest model files first; by name where the files are not at hand."""
    repository = subject.deployment.repository

    def size(name: str) -> int:
        if repository is None:
            return 0
        return sum(path.stat().st_size for path in (repository / name).rglob("*") if path.is_file())

    return sorted(models, key=lambda name: (-size(name), name))


def heaviest(subject: Subject, most: int = 3) -> list[str]:
    """PyTorch models with dynamic batching, those that compute most first."""
    dynamic = {name: model for name, model in subject.pytorch.items() if model.dynamic_batching}
    return heaviest_of(subject, dynamic)[:most]
