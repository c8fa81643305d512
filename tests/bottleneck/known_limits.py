"""Models whose limit is known, on one server: what an analysis has to find."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_triton.own_models import write_python_model

#: Milliseconds that an execution takes.
TAKES_MS = 10
CORES = os.cpu_count() or 1
FLAGS = (
    "--rate-limit=execution_count",
    "--rate-limit-resource=SEAT:1",
    "--cache-config=local,size=4194304",
)
_CONFIG = """
backend: "python"
max_batch_size: %(batch)d
input [ { name: "IN" data_type: TYPE_INT32 dims: [ 1 ] } ]
output [ { name: "OUT" data_type: TYPE_INT32 dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU count: %(count)d %(limit)s } ]
%(more)s
"""
#: Sleeps or computes, whatever the batch.
_MODEL = """
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        until = time.perf_counter() + %(seconds)f
        while %(spins)s and time.perf_counter() < until:
            sum(range(1000))
        time.sleep(max(until - time.perf_counter(), 0))
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor(
                "OUT", pb_utils.get_input_tensor_by_name(request, "IN").as_numpy() %(grows)s)])
            for request in requests
        ]
"""
_ENSEMBLE = """
platform: "ensemble"
max_batch_size: 0
input [ { name: "IN" data_type: TYPE_INT32 dims: [ 1 ] } ]
output [ { name: "OUT" data_type: TYPE_INT32 dims: [ 1 ] } ]
ensemble_scheduling { step [ {
  model_name: "roomy" model_version: -1
  input_map { key: "IN" value: "IN" } output_map { key: "OUT" value: "OUT" }
} ] }
"""


def write(repository: Path) -> None:
    """``lone`` one instance, ``roomy`` eight, ``single`` batches and is not allowed to, ``waits``
    for others, ``spins`` on every processor, ``seated`` eight that share one seat, ``cached``,
    ``large`` answers of 16 MB, ``chained`` an ensemble."""
    _model(repository / "lone")
    _model(repository / "roomy", count=8)
    _model(repository / "single", batch=8)
    _model(repository / "waits", batch=8, ms=1.0, more=(
        "dynamic_batching { preferred_batch_size: [ 8 ] max_queue_delay_microseconds: 50000 }"
    ))  # fmt: skip
    _model(repository / "spins", count=CORES, spins=True)
    seat = 'rate_limiter { resources [ { name: "SEAT" count: 1 } ] }'
    _model(repository / "seated", count=8, limit=seat)
    _model(repository / "cached", more="response_cache { enable: true }")
    _model(repository / "large", ms=0.0, grows="* np.ones(1 << 22, np.int32)", dims=1 << 22)
    (repository / "chained" / "1").mkdir(parents=True)
    (repository / "chained" / "config.pbtxt").write_text(f'name: "chained"{_ENSEMBLE}')


def _model(
    directory: Path, *, batch: int = 0, count: int = 1, ms: float = TAKES_MS, spins: bool = False,
    limit: str = "", more: str = "", grows: str = "", dims: int = 1,
) -> None:  # fmt: skip
    config = _CONFIG % {"batch": batch, "count": count, "limit": limit, "more": more}
    config = config.replace('name: "OUT" data_type: TYPE_INT32 dims: [ 1 ]',
                            f'name: "OUT" data_type: TYPE_INT32 dims: [ {dims} ]')  # fmt: skip
    source = _MODEL % {"seconds": ms / 1e3, "spins": spins, "grows": grows}
    write_python_model(directory, source, config)
