"""NVIDIA's perf_analyzer as the engine: driven by us, its results as our records.

It times answers and does not read them, so contents are checked before and behind each level with
our own requests. Latency in its rate mode counts from the real send: coordinated omission is not
taken out.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytest_triton.errors import Misused, ToolError
from pytest_triton.load.reading.perf_analyzer import read_csv
from pytest_triton.load.records import Record
from pytest_triton.load.serverside import Reading
from pytest_triton.loading.levels import Level
from pytest_triton.loading.sweep import Wanted
from pytest_triton.loading.target import Target
from pytest_triton.probe.codec import as_tensor
from pytest_triton.probe.inputs import InputCase

ENGINE = "perf_analyzer"
#: It merges the last three windows, and waits for them to be alike: any three are taken here.
_WINDOWS = 3
_ANY = "100000"
#: Seconds that it may take beside its windows.
_SLACK = 60.0
_REMEDY = (
    "put perf_analyzer on PATH (it ships inside the wheel tritonclient 2.48.0 and needs libb64 and "
    "libcudart), or use --engine pytest-triton"
)


@dataclass(frozen=True)
class Analyzed:
    """A level, and what it cost: CPU seconds of perf_analyzer, requests that the server counted."""

    record: Record
    cpu_s: float
    served: Reading


def find() -> str:
    """Its path. Raises ToolError with the remedy where there is none."""
    found = shutil.which(ENGINE)
    if found is None:
        raise ToolError("there is no perf_analyzer on PATH", _REMEDY)
    return found


def analyze(
    target: Target, wanted: Wanted, levels: Sequence[Level],
    say: Callable[[str], None] | None = None, each: Callable[[Analyzed], None] | None = None,
) -> list[Analyzed]:  # fmt: skip
    """Every level by perf_analyzer. Raises ToolError with its own words where it fails."""
    binary = find()
    if wanted.trace is not None:
        raise Misused("perf_analyzer plays no trace", "use --engine pytest-triton for --trace")
    headers = [part for name, value in target.headers for part in ("-H", f"{name}: {value}")]
    cases = target.cases(wanted.batch)
    made = []
    with tempfile.TemporaryDirectory(prefix="pytest-triton-analyzer-") as scratch:
        inputs = Path(scratch) / "inputs.json"
        inputs.write_text(json.dumps({"data": [_tensors(case) for case in target.cases(1)]}))
        for level in levels:
            if say:
                say(f"perf_analyzer at {level.number:g}")
            _check(target, cases)
            out = Path(scratch) / "levels.csv"
            command = [
                binary, "-m", target.model, "-u", _address(target, wanted), "-i", wanted.protocol,
                "-b", str(wanted.batch), "--input-data", str(inputs), "-f", str(out),
                "-p", str(max(100, round(wanted.duration_s * 1e3 / _WINDOWS))),
                "-r", str(_WINDOWS), "-s", _ANY, *headers, *_load(level, wanted),
                *(["-x", target.version] if target.version else []),
            ]  # fmt: skip
            before = target.counters()
            cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = _run(command, wanted)
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            served = target.counters() - before
            if done.returncode or not out.is_file():
                lines = (done.stderr or done.stdout).strip().splitlines()
                raise ToolError(f"perf_analyzer: {' '.join(lines[-3:])[:300]}", _REMEDY)
            (found,) = read_csv(out.read_text(), str(out))
            _check(target, cases)
            out.unlink()
            spent = used.ru_utime + used.ru_stime - cpu.ru_utime - cpu.ru_stime
            made.append(_analyzed(found.record, target, wanted, level, served, spent))
            if each:
                each(made[-1])
    return made


def _analyzed(
    record: Record, target: Target, wanted: Wanted, level: Level, served: Reading, cpu_s: float
) -> Analyzed:
    rps = record.throughput_rps / wanted.batch
    record = replace(
        record, model=target.model, protocol=wanted.protocol, throughput_rps=rps,
        concurrency=level.concurrency, request_rate=level.rate,
        requests=served.success, errors=served.failure, duration_s=served.success / rps,
        server=served.to_json(),
        more={
            "inferences_per_s": rps * wanted.batch,
            "client_cpu_us": cpu_s * 1e6 / served.success if served.success else None,
            "doubts": [],
        },
    )  # fmt: skip
    return Analyzed(record, cpu_s, served)


def _run(command: list[str], wanted: Wanted) -> subprocess.CompletedProcess[str]:
    limit = _SLACK + 4 * wanted.duration_s
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=limit, check=False,
            errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ToolError(f"perf_analyzer did not end within {limit:.0f} s", _REMEDY) from None


def _load(level: Level, wanted: Wanted) -> list[str]:
    if level.concurrency is not None:
        return ["--concurrency-range", str(level.concurrency)]
    spread = "poisson" if wanted.arrivals == "poisson" else "constant"
    return ["--request-rate-range", f"{level.rate:g}", "--request-distribution", spread, "--async"]


def _address(target: Target, wanted: Wanted) -> str:
    if wanted.protocol == "grpc":
        assert target.grpc_url is not None
        return target.grpc_url.rpartition("://")[2]
    return urlsplit(target.http_url).netloc


def _check(target: Target, cases: Sequence[InputCase]) -> None:
    """Its answers are not read: ours are, before and behind."""
    target.http.infer(target.model, cases[0].inputs, version=target.version)


def _tensors(case: InputCase) -> dict[str, Any]:
    """One row as its input data has it: the batch is added by ``-b``."""
    made: dict[str, Any] = {}
    for name, value in case.inputs.items():
        tensor = as_tensor(value)
        array = tensor.array[0] if case.batch else tensor.array
        content = [
            item.decode("utf-8", "replace") if isinstance(item, bytes) else item
            for item in array.reshape(-1).tolist()
        ]
        made[name] = {"content": content, "shape": list(array.shape) or [1]}
    return made
