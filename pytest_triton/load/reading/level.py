"""One level of load as a file tells it, and the error that names a place in a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_triton.errors import ToolError
from pytest_triton.load.records import LATENCIES, Record


class Unreadable(ToolError):
    """A file that is no benchmark, or a broken one: names file, line (0: none) and remedy."""

    def __init__(self, path: Path | str, line: int, what: str, remedy: str) -> None:
        place = f"{path}:{line}" if line else str(path)
        super().__init__(f"{place}: {what}", remedy)
        self.path = str(path)
        self.line = line


@dataclass(frozen=True, slots=True)
class Level:
    """A record, where it stands, and how far its numbers go.

    ``counted``: the file tells requests and duration (else they are 0 and NaN in the record).
    ``thinks``: clients may wait between requests, so that fewer than ``concurrency`` are in
    flight. ``slack``: what the tool's rounding may do to throughput times latency, as a share.
    ``inferences``: throughput counts inferences, of which a request may hold several.
    """

    record: Record
    path: str
    line: int
    tool: str
    counted: bool = True
    thinks: bool = False
    slack: float = 0.0
    inferences: bool = False

    @property
    def place(self) -> str:
        """``file:line``."""
        return f"{self.path}:{self.line}" if self.line else self.path

    @property
    def offered(self) -> float:
        """The load as a number: requests in flight, or requests a second."""
        record = self.record
        return float(
            record.concurrency if record.concurrency is not None else record.request_rate or 0.0
        )

    def latency_us(self, name: str) -> float:
        """A latency in microseconds; NaN where the file does not tell it."""
        return float(self.record.latency_us.get(name, math.nan))

    def of_batch(self, batch: int) -> Level:
        """The level in requests, of a tool that counts ``batch`` inferences for each."""
        if not self.inferences or batch == 1:
            return self
        record = replace(self.record, throughput_rps=self.record.throughput_rps / batch)
        return replace(self, record=record, inferences=False)


def make(
    path: Path | str,
    line: int,
    tool: str,
    *,
    throughput_rps: float,
    latency_us: Mapping[str, float],
    concurrency: float | None = None,
    request_rate: float | None = None,
    requests: float | None = None,
    errors: float = 0,
    duration_s: float | None = None,
    model: str = "",
    protocol: str = "",
    more: Mapping[str, object] | None = None,
    thinks: bool = False,
    slack: float = 0.0,
    inferences: bool = False,
) -> Level:
    """A level out of numbers that a tool wrote. Raises Unreadable for one that cannot be.

    Without ``requests`` the level is not counted; without ``duration_s`` it is what requests
    and throughput come to.
    """
    for name, value in {
        "throughput": throughput_rps,
        "concurrency": concurrency,
        "request rate": request_rate,
        "requests": requests,
        "errors": errors,
        "duration": duration_s,
        **latency_us,
    }.items():
        if value is not None and (value < 0 or math.isinf(value)):
            raise Unreadable(
                path, line, f"{name} is {value:g}", "measure again: it is a number from 0 on"
            )
    if concurrency is None and request_rate is None:
        raise Unreadable(
            path, line, "neither concurrency nor request rate", "say how much load each row is"
        )
    if concurrency is not None and (concurrency < 1 or concurrency != int(concurrency)):
        raise Unreadable(
            path, line, f"concurrency is {concurrency:g}", "it is a whole number from 1 on"
        )
    if not throughput_rps > 0:
        raise Unreadable(
            path, line, f"throughput is {throughput_rps:g}", "measure with a server that answers"
        )
    if all(math.isnan(latency_us.get(name, math.nan)) for name in LATENCIES):
        raise Unreadable(path, line, "no latency", "add p50, p95 and p99 with their unit")
    if requests is not None and duration_s is None:
        duration_s = (requests - errors) / throughput_rps
    record = Record(
        protocol=protocol,
        requests=int(requests or 0),
        errors=int(errors),
        duration_s=math.nan if duration_s is None else duration_s,
        throughput_rps=throughput_rps,
        latency_us={name: latency_us.get(name, math.nan) for name in LATENCIES},
        concurrency=None if concurrency is None else int(concurrency),
        request_rate=request_rate if concurrency is None else None,
        model=model,
        engine=tool,
        more=dict(more or {}),
    )
    return Level(
        record, str(path), line, tool, requests is not None, thinks, slack, inferences
    )  # fmt: skip
