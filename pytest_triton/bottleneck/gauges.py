"""How much of the server's processors and cards is in use while load runs, by its metrics."""

from __future__ import annotations

import math
import ssl
import threading
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType

from pytest_triton.monitor.metrics import Scrape, scrape
from pytest_triton.probe.types import ProbeError

#: Seconds between two readings. Triton itself looks every 2 s (--metrics-interval-ms).
EVERY_S = 0.5


class Gauges:
    """Reads the metrics page in a thread of its own while the block lasts.

    ``machine`` is the mean of nv_cpu_utilization (0 to 1, everybody's), ``gpu`` that of
    nv_gpu_utilization of the busiest card; NaN where the page does not tell, or there is none.
    What was read in the first third is left out: it may be of the time before.
    """

    def __init__(
        self, url: str | None, headers: Iterable[tuple[str, str]] = (),
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        self._url, self._headers, self._context = url, tuple(headers), ssl_context
        self._stop = threading.Event()
        self._found: list[tuple[float, float]] = []
        self._thread = threading.Thread(target=self._read, name="gauges", daemon=True)

    def __enter__(self) -> Gauges:
        if self._url:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._stop.set()
        if self._url:
            self._thread.join(10)

    def _read(self) -> None:
        while not self._stop.wait(EVERY_S):
            with suppress(ProbeError):
                page = scrape(str(self._url), headers=self._headers, ssl_context=self._context)
                self._found.append((cpu_of(page), gpu_of(page)))

    @property
    def machine(self) -> float:
        return _mean([cpu for cpu, _ in self._late()])

    @property
    def gpu(self) -> float:
        return _mean([gpu for _, gpu in self._late()])

    def _late(self) -> list[tuple[float, float]]:
        return self._found[len(self._found) // 3 :]


def cpu_of(page: Scrape) -> float:
    """nv_cpu_utilization, 0 to 1; NaN without."""
    found = page.value("nv_cpu_utilization")
    return math.nan if found is None else found


def gpu_of(page: Scrape) -> float:
    """nv_gpu_utilization of the busiest card, 0 to 1; NaN without."""
    return max((sample.value for sample in page.samples("nv_gpu_utilization")), default=math.nan)


def _mean(values: list[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan
