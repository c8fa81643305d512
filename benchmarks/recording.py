"""Latency streams of a real Triton with known service times, recorded beside real foreign load.

Used by verdicts.py. Every noise keeps about a quarter of the machine busy.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from noises import Sampler, noise, prefer

from pytest_triton.deployment import Deployment
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.load.engine import closed_loop
from pytest_triton.load.requests import prepare_http
from pytest_triton.load.result import LoadResult
from pytest_triton.measuring import server_processes

#: Model and concurrency of each stream. fixed sleeps, compute spins one core.
STREAMS = {
    "fixed 5 ms": ("fixed5", 1),
    "fixed 20 ms": ("fixed20", 1),
    "compute": ("compute", 1),
    "compute, queued": ("compute", 2),
}
#: What the test was tuned on, and what it was not.
DESIGN = ("idle", "compiler", "bursts")
HELD_OUT = ("idle", "compiler, two files", "short bursts", "memory", "periodic")

_MODEL = """
import hashlib, itertools, time
import numpy as np
import triton_python_backend_utils as pb_utils

def fixed5(): time.sleep(0.005)
def fixed20(): time.sleep(0.020)
def bimodal(turn=itertools.count()): time.sleep(0.020 if next(turn) % 5 == 0 else 0.005)
def compute(): hashlib.pbkdf2_hmac("sha256", b"x", b"y", 4000)

class TritonPythonModel:
    def initialize(self, args):
        self.serve = globals()[args["model_name"]]
    def execute(self, requests):
        answers = []
        for request in requests:
            self.serve()
            told = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", told)]))
        return answers
"""
_CONFIG = """
backend: "python"
max_batch_size: 0
input [ { name: "IN" data_type: TYPE_INT32 dims: [ 1 ] } ]
output [ { name: "OUT" data_type: TYPE_INT32 dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""


@contextlib.contextmanager
def served(*more: str) -> Iterator[Deployment]:
    """A Triton with the models of STREAMS, and ``bimodal`` where it is asked for: a fifth of its
    requests takes 20 ms, the others 5."""
    with tempfile.TemporaryDirectory() as directory:
        for model in {*more, *(model for model, _ in STREAMS.values())}:
            place = Path(directory, model, "1")
            place.mkdir(parents=True)
            (place / "model.py").write_text(_MODEL, "utf-8")
            (place.parent / "config.pbtxt").write_text(_CONFIG, "utf-8")
        with embedded(ServerSpec(Path(directory), device="cpu")) as deployment:
            yield deployment


def measure(deployment: Deployment, stream: str, seconds: float) -> LoadResult:
    """Load of one stream; every 20th answer is compared with what was sent."""
    model, concurrency = STREAMS[stream]
    sent = np.array([7], np.int32)
    return closed_loop(
        deployment.http_url,
        [prepare_http(model, "", {"IN": sent}, expected={"OUT": sent})],
        concurrency=concurrency,
        duration_s=seconds,
        warmup_s=0.5,
        check_every=20,
        server_pids=server_processes(deployment),
    )


def beside(
    deployment: Deployment, stream: str, seconds: float, pids: tuple[int, ...], *, first: bool
) -> LoadResult:
    """Load beside the noise ``pids``; ``first``: they are all the foreign load that counts."""
    sampler = Sampler(pids) if first else None
    run = measure(deployment, stream, seconds)
    if sampler:
        series = sampler.series(run.started)
        cores = float(np.mean([one for *_, one in series]))
        run = replace(run, foreign_series=series, foreign_cpu=cores)
    return run


@dataclass(frozen=True, eq=False)
class Stream:
    """What one cell recorded: latency in ms, ends in s, (from, to, cores) of others."""

    latency: np.ndarray[Any, Any]
    ended: np.ndarray[Any, Any]
    series: np.ndarray[Any, Any]
    seconds: float


def record(
    deployment: Deployment,
    noises: tuple[str, ...],
    *,
    seconds: float,
    rounds: int,
    first: bool = False,
) -> dict[tuple[str, str], Stream]:
    """Every stream beside every noise, in ``rounds`` turns, so that all share a drift.

    ``first``: :func:`prefer` what is measured, and count as foreign only our own noise."""
    if first:
        prefer((os.getpid(), *server_processes(deployment)))
    parts: dict[tuple[str, str], list[LoadResult]] = {}
    for turn in range(rounds):
        for name in noises:
            with noise(name, first=first) as pids:
                for stream in STREAMS:
                    run = beside(deployment, stream, seconds / rounds, pids, first=first)
                    if run.errors or run.wrong:
                        raise SystemExit(f"{stream}: {run.error_texts} {run.wrong_texts}")
                    parts.setdefault((stream, name), []).append(run)
                    print(
                        f"round {turn + 1} {name}: {stream} p95 {run.percentile_ms(95):.2f} ms, "
                        f"{run.throughput_rps:.0f}/s, foreign {run.foreign_cpu:.2f} cores",
                        file=sys.stderr,
                    )
    return {key: _joined(runs) for key, runs in parts.items()}


def _joined(runs: list[LoadResult]) -> Stream:
    latency, ended, series, offset = [], [], [], 0.0
    for run in runs:
        inside = run.ended_s <= run.duration_s
        latency.append(run.latency_us[inside] / 1e3)
        ended.append(run.ended_s[inside] + offset)
        series += [
            (max(since, 0.0) + offset, min(to, run.duration_s) + offset, cores)
            for since, to, cores in run.foreign_series
        ]
        offset += run.duration_s
    order = np.argsort(np.concatenate(ended), kind="stable")
    return Stream(
        np.concatenate(latency)[order], np.concatenate(ended)[order], np.array(series), offset
    )


def save(streams: dict[tuple[str, str], Stream], path: Path) -> None:
    """Keep a recording, to replay it again."""
    arrays: dict[str, Any] = {}
    for (stream, name), one in streams.items():
        arrays[f"{stream}|{name}|latency"] = one.latency
        arrays[f"{stream}|{name}|ended"] = one.ended
        arrays[f"{stream}|{name}|series"] = one.series
        arrays[f"{stream}|{name}|seconds"] = np.array(one.seconds)
    np.savez_compressed(path, **arrays)


def load(path: Path) -> dict[tuple[str, str], Stream]:
    """A recording that was kept."""
    with np.load(path) as arrays:
        keys = sorted({tuple(name.split("|")[:2]) for name in arrays})
        return {
            (stream, name): Stream(
                *(arrays[f"{stream}|{name}|{field}"] for field in ("latency", "ended", "series")),
                float(arrays[f"{stream}|{name}|seconds"]),
            )
            for stream, name in keys
        }
