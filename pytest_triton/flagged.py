"""A server of ours with the flags that change its metrics, and what it shows of them."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

from pytest_triton.monitor.expected import (
    CACHE_GAUGES,
    CACHED_FAMILIES,
    CACHED_SUMMARIES,
    CPU_FAMILIES,
    DURATIONS,
    GPU_FAMILIES,
    SUMMARIES,
    families_of,
)
from pytest_triton.monitor.metrics import Scrape
from pytest_triton.probe_set import CACHED, FAILING, SERVER_FLAGS, VERSION, write_probes
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject

if TYPE_CHECKING:
    from pytest_triton.factory import ServerFactory

#: Quantiles that are asked for, other than Triton's own.
QUANTILES = ("0.25", "0.75", "0.99")
#: Milliseconds between two renewals of the gauges that have an interval: no run is so long.
NEVER_MS = 3_600_000
FLAGS = (
    "--metrics-config=summary_latencies=true",
    f"--metrics-config=summary_quantiles={','.join(f'{q}:0.001' for q in QUANTILES)}",
    "--metrics-config=counter_latencies=false",
    "--allow-cpu-metrics=false",
    f"--metrics-interval-ms={NEVER_MS}",
    *SERVER_FLAGS,
)


@dataclass(frozen=True, slots=True)
class Flagged:
    """The server; of its models one caches its responses, the other does not."""

    subject: Subject
    cached: str = CACHED
    plain: str = FAILING

    def age(self) -> float:
        """Seconds since the process of the server began."""
        pid = self.subject.deployment.pid
        assert pid is not None
        return time.time() - psutil.Process(pid).create_time()

    def ask(self, value: int) -> None:
        """One request for each model; the cache has the same value the second time."""
        self.subject.http.infer(self.cached, {"IN": np.array([value], np.int32)})
        self.subject.http.infer(self.plain, {"CODE": np.array([0], np.int32)})


@contextmanager
def flagged(factory: ServerFactory, settings: Settings, directory: Path) -> Iterator[Flagged]:
    """Boot one; it ends with the factory."""
    deployment = factory(
        write_probes(directory / "models"),
        (CACHED, FAILING),
        auto_complete=False,
        server_args=FLAGS,
    )
    subject = Subject(deployment, replace(settings, models="*"))
    try:
        yield Flagged(subject)
    finally:
        subject.close()


def family_flaws(page: Scrape, plain: Scrape, release: str | None) -> list[str]:
    """How the families of a server with :data:`FLAGS` differ from what they should be.

    ``plain``: the page of a server of the same release without these flags.
    """
    found = set(page.families)
    always = set(families_of(release))
    lost = CPU_FAMILIES | DURATIONS | CACHED_FAMILIES
    added = SUMMARIES | CACHED_SUMMARIES | CACHE_GAUGES
    known = always | lost | added | set(GPU_FAMILIES) | set(plain.families)
    return [
        *(f"{name} is still there" for name in sorted(lost & found)),
        *(f"{name} is gone too" for name in sorted(always - lost - found)),
        *(f"{name} is not there" for name in sorted(added - found)),
        *(f"{name} is there too" for name in sorted(found - known)),
    ]


def summary_flaws(page: Scrape, model: str, requests: int) -> list[str]:
    """What is wrong with the summaries of a model that has answered so many requests."""
    flaws = []
    labels = {"model": model, "version": VERSION}
    for name in sorted(SUMMARIES):
        values = {
            sample.labels["quantile"]: sample.value
            for sample in page.samples(name)
            if sample.labels.get("model") == model
        }
        if sorted(values) != sorted(QUANTILES):
            flaws.append(f"{name} has the quantiles {sorted(values)}, not {sorted(QUANTILES)}")
            continue
        counted, total = page.value(f"{name}_count", **labels), page.value(f"{name}_sum", **labels)
        in_order = [values[quantile] for quantile in QUANTILES]
        told = ", ".join(f"{quantile}: {value:g}" for quantile, value in values.items())
        if counted != requests:
            flaws.append(f"{name}_count is {counted} after {requests} requests")
        if not all(value >= 0 for value in in_order):  # NaN is not
            flaws.append(f"{name} has quantiles that are no durations ({told})")
        elif in_order != sorted(in_order):
            flaws.append(f"{name} falls from one quantile to the next ({told})")
        elif total is None or in_order[-1] > total:
            flaws.append(f"{name}_sum is {total}, and one request took {in_order[-1]:g}")
    return flaws


def kill_stub(pid: int, model: str) -> list[int]:
    """End the processes that execute a Python model of a server of ours; their ids."""
    ended = []
    for process in psutil.Process(pid).children(recursive=True):
        try:
            if any(f"/{model}/{VERSION}/" in word for word in process.cmdline()):
                process.send_signal(signal.SIGKILL)
                ended.append(process.pid)
        except psutil.Error:  # it has just ended
            continue
    return ended
