"""What is known of a model and of each level of load: numbers alone, no judgement."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_triton.load.result import LoadResult
from pytest_triton.memory_use.driving import instance_count
from pytest_triton.series import PARTS

_STAGES = {"queue": "queue", "input": "compute_input", "infer": "compute_infer",
           "output": "compute_output"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Model:
    """What a served configuration says that bears on speed. ``delay_ms``: the longest that a
    request waits for others; ``limited``: instances take resources of the rate limiter."""

    name: str
    max_batch: int = 0
    dynamic: bool = False
    delay_ms: float = 0.0
    instances: int = 1
    steps: tuple[str, ...] = ()
    sequences: bool = False
    limited: bool = False
    gpu: bool = False


def model_of(config: Mapping[str, Any]) -> Model:
    """Out of the JSON of ``/v2/models/M/config``."""
    batching = config.get("dynamic_batching")
    delay = (batching or {}).get("max_queue_delay_microseconds", 0)
    groups = config.get("instance_group") or []
    steps = (config.get("ensemble_scheduling") or {}).get("step") or []
    return Model(
        str(config.get("name", "")), int(config.get("max_batch_size", 0)), batching is not None,
        int(delay) / 1e3, instance_count(config), tuple(str(one["model_name"]) for one in steps),
        "sequence_batching" in config,
        any((one.get("rate_limiter") or {}).get("resources") for one in groups),
        any(one.get("kind") == "KIND_GPU" for one in groups),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Facts:
    """One level of load. NaN is unknown.

    ``parts_ms``: the mean latency of an answer in :data:`~pytest_triton.series.PARTS`, empty where
    the server does not tell; ``front end`` is in the server and in none of its four stages,
    ``outside`` the client's latency less the server's. ``busy``: share of the time for which
    instances worked. ``machine``: share of the server's processors in use by anybody; ``others``:
    by neither server nor client; ``server``: by the server. ``work``: processors that it uses for
    each working instance (about 1 where executions compute, 0 where they wait). ``gpu``:
    utilization of the busiest card, 0 to 1. ``client``: share of the time for which the busiest
    client process computed. ``hits``: share of answers out of the response cache. ``errors``: of
    requests without a good answer.
    """

    concurrency: int
    throughput_rps: float
    latency_ms: float
    parts_ms: Mapping[str, float]
    mean_batch: float = math.nan
    busy: float = math.nan
    machine: float = math.nan
    others: float = math.nan
    server: float = math.nan
    work: float = math.nan
    gpu: float = math.nan
    client: float = 0.0
    hits: float = 0.0
    errors: float = 0.0
    doubts: tuple[str, ...] = ()

    def share(self, part: str) -> float:
        """Of the mean latency; 0 where the server does not tell."""
        return self.parts_ms.get(part, 0.0) / self.latency_ms if self.latency_ms > 0 else 0.0


def facts_of(
    result: LoadResult, instances: int, *, cores: int, machine: float = math.nan,
    gpu: float = math.nan,
) -> Facts:  # fmt: skip
    """One run. ``cores``: of this machine; ``machine`` and ``gpu`` where the server's metrics tell
    them. What this machine tells of a server that runs on it comes first."""
    latency = result.latency_us
    mean = float(latency.mean()) / 1e3 if len(latency) else math.nan
    served = result.served
    told: dict[str, float] = {}
    busy = math.nan
    if served is not None and served.success and math.isfinite(mean):
        stages = {part: served.stages_ns.get(stage, 0) / served.success / 1e6
                  for part, stage in _STAGES.items()}  # fmt: skip
        inside = served.request_ns / served.success / 1e6
        told = {
            "outside": max(mean - inside, 0.0),
            "front end": max(inside - sum(stages.values()), 0.0), **stages,
        }  # fmt: skip
        if served.batches and result.duration_s > 0:
            busy = served.busy_ns / 1e9 / result.duration_s / max(instances, 1)
    server, theirs = result.server_cpu, result.foreign_cpu
    if math.isfinite(server) and math.isfinite(theirs):
        machine = (server + theirs + result.client_busy * result.processes) / cores
    working = busy * max(instances, 1)
    return Facts(
        result.concurrency, result.throughput_rps, mean, {name: told[name] for name in PARTS if told},
        served.mean_batch if served else math.nan, busy, machine, theirs / cores, server / cores,
        server / working if working > 0 else math.nan, gpu,
        result.client_busy,
        served.cache_hits / served.success if served and served.success else 0.0,
        result.error_rate if result.requests else 0.0, result.doubts,
    )  # fmt: skip
