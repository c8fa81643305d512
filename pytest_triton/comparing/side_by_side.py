"""The same model and requests in process and through Triton, interleaved in pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from pytest_triton.compare import mismatch
from pytest_triton.comparing.peer import Peer
from pytest_triton.deployment import Deployment
from pytest_triton.errors import ToolError
from pytest_triton.export.child import Arrays
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.load.engine import closed_loop
from pytest_triton.load.paired import Side, Taken, paired, told
from pytest_triton.load.requests import prepare_http
from pytest_triton.measuring import server_processes
from pytest_triton.probe.http import HttpProbe
from pytest_triton.repository.sidecar import ExportRecord

Progress = Callable[[str], None]
#: Distinct batches that are sent in turn.
DISTINCT = 16


@dataclass(frozen=True, slots=True)
class Row:
    """One batch size and concurrency. Ratios are Triton ÷ in process, with 95 % intervals."""

    batch: int
    concurrency: int
    process: Side
    triton: Side
    throughput: float
    throughput_interval: tuple[float, float]
    latency: float
    latency_interval: tuple[float, float]
    throughput_pairs: tuple[float, ...]
    latency_pairs: tuple[float, ...]


@dataclass(slots=True)
class Comparison:
    """What was measured, and on what."""

    model: str
    length: int
    seconds: float
    pairs: int
    seed: int
    versions: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    #: Side -> unique memory of its processes in bytes after a run, at most.
    memory: dict[str, int] = field(default_factory=dict)
    #: Largest absolute difference of the answers of the two sides.
    difference: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


def requests(record: ExportRecord, batch: int, length: int, seed: int) -> Arrays:
    """Name -> [distinct, batch, length]: seeded tokens that the model knows, nothing padded."""
    random = np.random.default_rng([seed, batch, length])
    made: Arrays = {}
    for spec in record.inputs:
        low, high = record.ranges.get(spec.name, (0, 2))
        shape = (DISTINCT, batch, length)
        if "mask" in spec.name:
            made[spec.name] = np.ones(shape, np.int64)
        elif "type" in spec.name:
            made[spec.name] = np.zeros(shape, np.int64)
        else:
            made[spec.name] = random.integers(int(low), int(high), shape, dtype=np.int64)
    return made


def compare(
    directory: Path, repository: Path, name: str, record: ExportRecord, *,
    batches: Sequence[int], concurrencies: Sequence[int], length: int, seconds: float,
    pairs: int, device: str, dtype: str | None, release: str, seed: int, say: Progress,
) -> Comparison:  # fmt: skip
    """Measure every batch size at every concurrency, in ABBA pairs.

    ``directory`` is what save_pretrained() wrote, ``repository`` where ``name`` is exported
    to. Raises ToolError when the two sides answer differently, or one of them fails.
    """
    spec = ServerSpec(repository, models=(name,), device=device, release=release)
    inputs = [one.name for one in record.inputs]
    with embedded(spec, progress=say) as server:
        say(f"loading {directory.name} in process")
        with Peer(
            directory, task=record.task, choices=dict(record.choices), inputs=inputs,
            dtype=dtype, device=str(server.device),
        ) as peer:  # fmt: skip
            made = Comparison(
                name, length, seconds, pairs, seed,
                {**peer.told, "triton": _version(server), "release": server.release},
            )  # fmt: skip
            for batch in batches:
                sent = requests(record, batch, length, seed)
                made.difference = max(
                    made.difference, _same(server, peer, name, record, sent, batch)
                )
                for concurrency in concurrencies:
                    say(f"measuring batch {batch}, {concurrency} at a time")
                    made.rows.append(
                        _row(made, server, peer, record, sent, batch, concurrency, seconds, pairs)
                    )
    return made


def _version(server: Deployment) -> str:
    with closing(HttpProbe(server.http_url)) as http:
        return str(http.server_metadata().get("version"))


def _same(
    server: Deployment, peer: Peer, name: str, record: ExportRecord, sent: Arrays, batch: int
) -> float:
    """The largest difference of the two sides' answers. ToolError where it is no rounding."""
    first = {key: value[0] for key, value in sent.items()}
    wanted = peer.answer(first)
    with closing(HttpProbe(server.http_url)) as http:
        got = http.infer(name, first)
    output = record.outputs[0].name
    text = mismatch(got.outputs, {output: wanted}, datatypes=got.datatypes,
                    rtol=max(record.rtol, 1e-3), atol=max(record.atol, 1e-3))  # fmt: skip
    if text:
        raise ToolError(
            f"at batch {batch} Triton answers otherwise than the model in process: {text}",
            "a comparison of speed says nothing then: judge the repository first",
        )
    return float(np.abs(got.outputs[output].astype(np.float64) - wanted).max())


def _row(
    made: Comparison, server: Deployment, peer: Peer, record: ExportRecord, sent: Arrays,
    batch: int, concurrency: int, seconds: float, pairs: int,
) -> Row:  # fmt: skip
    prepared = [
        prepare_http(made.model, "", {key: value[at] for key, value in sent.items()}, batch=batch)
        for at in range(DISTINCT)
    ]
    pids = server_processes(server)

    def in_process() -> Taken:
        taken, elapsed, gpu = peer.run(
            sent, threads=concurrency, seconds=seconds, warmup=seconds / 4
        )
        if not len(taken):
            raise ToolError(
                f"no request of batch {batch} ended within {seconds:g} s", "give more --seconds"
            )
        _most(made.memory, "process", unique_memory((peer.pid,)))
        _most(made.memory, "process, GPU", gpu)
        return len(taken) / elapsed, taken * 1000

    def through_triton() -> Any:
        run = closed_loop(
            server.http_url, prepared, concurrency=concurrency, duration_s=seconds,
            warmup_s=seconds / 4, check_every=10, server_pids=pids, timeout_s=60.0,
        )  # fmt: skip
        _most(made.memory, "triton", unique_memory(pids))
        return run

    try:
        found = paired(in_process, through_triton, pairs=pairs)
    except AssertionError as error:
        raise ToolError(f"through Triton: {error}", "give more --seconds") from None
    return Row(
        batch, concurrency, found.a, found.b, found.throughput, found.throughput_interval,
        found.latency, found.latency_interval, found.throughput_pairs, found.latency_pairs,
    )  # fmt: skip


def _most(memory: dict[str, int], side: str, value: int) -> None:
    if value:
        memory[side] = max(memory.get(side, 0), value)


def unique_memory(pids: Sequence[int]) -> int:
    """Bytes that the trees of these processes alone hold (USS); 0 where nobody may look."""
    total = 0
    for pid in pids:
        try:
            root = psutil.Process(pid)
            for process in (root, *root.children(recursive=True)):
                total += process.memory_full_info().uss
        except psutil.Error:
            continue
    return total


def table(made: Mapping[str, Any]) -> list[str]:
    """The comparison for a terminal; ``made`` as JSON."""
    lines = [
        "                 in process                 through Triton             Triton ÷ in process",
        "batch  at once   req/s    p50 ms   p95 ms   req/s    p50 ms   p95 ms   throughput         "
        "p50",
    ]
    for row in made["rows"]:
        one, two = row["process"], row["triton"]
        lines.append(
            f"{row['batch']:5}  {row['concurrency']:7} {one['rps']:7.1f} {one['p50_ms']:9.2f} "
            f"{one['p95_ms']:8.2f} {two['rps']:7.1f} {two['p50_ms']:9.2f} {two['p95_ms']:8.2f}   "
            f"{told(row['throughput'], row['throughput_interval']):18} "
            f"{told(row['latency'], row['latency_interval'])}"
        )
    memory = ", ".join(f"{side} {size / 2**20:.0f} MiB" for side, size in made["memory"].items())
    lines.append(f"memory of its own after a run, at most: {memory}")
    lines.append(f"largest difference of the answers: {made['difference']:.3g}")
    return lines
