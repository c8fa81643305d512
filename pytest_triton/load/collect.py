"""From what the workers tell to a result, with the doubts that it raises about itself."""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from pytest_triton.load.cpu import CpuSample, foreign
from pytest_triton.load.requests import PreparedRequest, check_answer
from pytest_triton.load.result import LoadResult
from pytest_triton.load.serverside import Served
from pytest_triton.load.trust import doubts, lateness

#: Arrays that count from the start of their worker's window.
_TIMES = ("ended", "failed", "beat")
#: Wrong answers whose owner is looked for.
_OWNERS = 20


@dataclass(frozen=True, slots=True)
class Setting:
    """The load that was asked for: a ``concurrency``, or a ``rate`` with ``planned`` requests."""

    protocol: str
    concurrency: int = 0
    rate: float = math.nan
    arrivals: str = ""
    planned: int = 0


@dataclass
class _Part:
    """What one worker tells."""

    header: dict[str, Any]
    arrays: dict[str, np.ndarray[Any, Any]]
    samples: list[tuple[int, int, bytes]]


def collected(
    bodies: Sequence[bytes],
    requests: Sequence[PreparedRequest],
    setting: Setting,
    cpu: Sequence[CpuSample],
    served: Served | None,
) -> LoadResult:
    """One result of all workers."""
    parts = [_part(body) for body in bodies]
    headers = [part.header for part in parts]
    opened = min(header["opened"] for header in headers)
    closed = max(header["closed"] for header in headers)
    duration = closed - opened
    arrays = {
        name: np.concatenate(
            [_shifted(part, name, part.header["opened"] - opened) for part in parts]
        )
        for name in parts[0].arrays
    }
    order = np.argsort(arrays["ended"], kind="stable")
    errors: Counter[str] = Counter()
    for header in headers:
        errors.update(header["errors"])
    wrong, checked = _content(parts, requests)
    rate = sum(header["in_window"] for header in headers) / duration if duration > 0 else 0.0
    series = [
        (one.at - opened, two.at - opened, foreign(one, two))
        for one, two in pairwise(cpu)
        if two.at > opened and one.at < closed
    ]
    server = sum(
        two.served - one.served for one, two in pairwise(cpu) if two.at > opened and one.at < closed
    )
    spent = sum(to - since for since, to, _ in series)
    others = sum((to - since) * cores for since, to, cores in series)
    good = sum(header["good"] for header in headers)
    bad = sum(header["bad"] for header in headers)
    if served:
        served.finish(good, bad)
    latency = arrays["latency"][order]
    late = arrays["late"]
    result = LoadResult(
        requests=len(latency) + errors.total(),
        errors=errors.total(),
        wrong=wrong.total(),
        checked=checked,
        duration_s=duration,
        throughput_rps=rate,
        latency_us=latency,
        ended_s=arrays["ended"][order],
        started=opened,
        finished=closed,
        concurrency=setting.concurrency,
        error_texts=errors,
        wrong_texts=wrong,
        foreign_cpu=others / spent if spent else math.nan,
        server_cpu=server / spent if spent and server > 0 else math.nan,
        foreign_series=series,
        client_cpu_s=sum(header["cpu_s"] for header in headers),
        inferences=rate * (sum(request.batch for request in requests) / len(requests)),
        client_busy=max(header["cpu_s"] / max(header["wall_s"], 1e-9) for header in headers),
        protocol=setting.protocol,
        request_rate=setting.rate,
        arrivals=setting.arrivals,
        planned=setting.planned,
        late_us=late[order] if len(late) == len(latency) else late,
        slept_us=arrays["slept"],
        failed_s=np.sort(arrays["failed"]),
        beat_s=arrays["beat"],
        beat_us=arrays["beat_late"],
        connections=sum(header["connections"] for header in headers),
        processes=len(parts),
        good=good,
        bad=bad,
        served=served.window if served and served.tells else None,
        served_whole=served.whole if served and served.tells else None,
        unread=served.fault if served else "",
    )
    return replace(result, doubts=tuple(doubts(result)), lateness=lateness(result))


def _part(payload: bytes) -> _Part:
    view = memoryview(payload)
    (size,) = struct.unpack_from("<Q", view, 0)
    header = json.loads(bytes(view[8 : 8 + size]))
    offset = 8 + size
    arrays = {}
    for name, count in header["arrays"].items():
        arrays[name] = np.frombuffer(view, np.float64, count, offset).copy()
        offset += 8 * count
    samples = []
    for index, seen, length in header["samples"]:
        samples.append((index, seen, bytes(view[offset : offset + length])))
        offset += length
    return _Part(header, arrays, samples)


def _shifted(part: _Part, name: str, by: float) -> np.ndarray[Any, Any]:
    """Times count from the window of the worker that opened first."""
    return part.arrays[name] + by if name in _TIMES else part.arrays[name]


def _content(
    parts: Sequence[_Part], requests: Sequence[PreparedRequest]
) -> tuple[Counter[str], int]:
    wrong: Counter[str] = Counter()
    looked_for = checked = 0
    for part in parts:
        for index, seen, entry in part.samples:
            (json_length,) = struct.unpack_from("<I", entry, 0)
            fault = check_answer(requests[index], json_length, entry[4:])
            checked += seen
            if fault:
                if looked_for < _OWNERS:
                    looked_for += 1
                    fault = _owner(requests, index, json_length, entry[4:]) or fault
                wrong[fault[:200]] += seen
    return wrong, checked


def _owner(
    requests: Sequence[PreparedRequest], index: int, json_length: int, body: bytes
) -> str | None:
    """Whose answer a wrong one is, if it is that of one of the other requests."""
    for other, request in enumerate(requests):
        bare = replace(request, own={})
        if other != index and request.expected and not check_answer(bare, json_length, body):
            return f"request {index} got the answer of request {other}"
    return None
