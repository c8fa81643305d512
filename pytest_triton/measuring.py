"""The fixtures ``triton_load`` and ``triton_metrics``: load and deltas around a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.deployment import Deployment
from pytest_triton.errors import ToolError
from pytest_triton.settings import UNBOUNDED, Settings

if TYPE_CHECKING:
    from pytest_triton.load import LoadResult
    from pytest_triton.monitor.metrics import Scrape


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

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def scrape(self) -> Scrape:
        """All metrics now. Raises ToolError where no endpoint is known."""
        from pytest_triton.monitor.metrics import scrape

        if not self._deployment.metrics_url:
            raise ToolError("no metrics endpoint is known", "give --triton-metrics-url URL")
        return scrape(self._deployment.metrics_url, headers=self._deployment.headers)

    @contextmanager
    def delta(self, model: str, version: str | None = None) -> Iterator[Difference]:
        """What the block adds to the counters of one model."""
        from pytest_triton.monitor.metrics import delta

        difference = Difference(model, version)
        before = self.scrape()
        yield difference
        difference._delta = delta(before, self.scrape())


class Load:
    """``triton_load(model, concurrency=…)``: a closed loop with answers that are checked."""

    def __init__(self, deployment: Deployment, settings: Settings) -> None:
        self._deployment = deployment
        self._settings = settings

    def __call__(
        self,
        model: str,
        *,
        concurrency: int = 1,
        duration_s: float = 2.0,
        **keywords: Any,
    ) -> LoadResult:
        """Drive ``concurrency`` requests in flight for ``duration_s`` seconds."""
        from pytest_triton.load.closed import drive

        allowed = self._settings.allow_load
        if not self._deployment.owned:
            if allowed is None:
                raise NotAssessed(Reason.NEEDS_LOAD, "needs --triton-allow-load on an endpoint")
            if allowed != UNBOUNDED and concurrency > allowed:
                raise NotAssessed(
                    Reason.NEEDS_LOAD, f"--triton-allow-load allows {allowed} in flight"
                )
        return drive(
            self._deployment,
            model,
            concurrency=concurrency,
            duration_s=duration_s,
            seed=self._settings.seed,
            **keywords,
        )
