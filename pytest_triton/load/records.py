"""What a load measurement comes to, whichever engine made it: the JSON of ``pytest-triton load``.

A document is a list of these. Times are microseconds unless a name says otherwise; a number
that an engine does not tell is null, never 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_triton.errors import ToolError

#: Percentiles that a record holds beside the mean.
PERCENTILES = (50, 90, 95, 99)
LATENCIES = ("mean", *(f"p{q}" for q in PERCENTILES))


@dataclass(frozen=True, slots=True)
class Record:
    """One load on one model.

    Either ``concurrency`` (requests kept in flight) or ``request_rate`` (requests planned a
    second) is a number. ``latency_us``: mean, p50, p90, p95, p99 of good answers;
    ``errors``: requests without a good answer; ``server``: what the server counted in the same
    time (requests, inferences, executions, mean_batch, queue_us, compute_input_us,
    compute_infer_us, compute_output_us per request …); ``engine``: who measured.
    """

    protocol: str
    requests: int
    errors: int
    duration_s: float
    throughput_rps: float
    latency_us: Mapping[str, float]
    concurrency: int | None = None
    request_rate: float | None = None
    model: str = ""
    engine: str = ""
    server: Mapping[str, Any] = field(default_factory=dict)
    #: What else an engine tells: foreign_cpu, planned and sent, notes …
    more: Mapping[str, Any] = field(default_factory=dict)
    #: Of token streams: ttft_ms and itl_ms (mean, p50, p95, p99), tokens, tokens_per_s,
    #: tokens_per_s_per_user. Empty: answers were whole.
    stream: Mapping[str, Any] = field(default_factory=dict)

    @property
    def load(self) -> str:
        """The load in words: ``concurrency 8``, ``200 requests/s``."""
        if self.concurrency is not None:
            return f"concurrency {self.concurrency}"
        return f"{self.request_rate:g} requests/s"

    def to_json(self) -> dict[str, Any]:
        """The record as the project's JSON has it."""
        kind: dict[str, Any] = (
            {"concurrency": self.concurrency}
            if self.concurrency is not None
            else {"request_rate": self.request_rate}
        )
        document = {
            **kind,
            "model": self.model,
            "protocol": self.protocol,
            "engine": self.engine,
            "requests": self.requests,
            "errors": self.errors,
            "duration_s": self.duration_s,
            "throughput_rps": self.throughput_rps,
            "latency_us": {name: self.latency_us.get(name) for name in LATENCIES},
            "server": dict(self.server),
            **({"stream": dict(self.stream)} if self.stream else {}),
            **self.more,
        }
        found: dict[str, Any] = finite(document)
        return found


def to_json(records: Sequence[Record]) -> str:
    """A document, as text."""
    return json.dumps([record.to_json() for record in records], indent=2, allow_nan=False) + "\n"


def from_json(text: str) -> list[Record]:
    """Read a document back. Raises ToolError with the place where it is none."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ToolError(f"no JSON: {error}", "give what --json wrote") from None
    if not isinstance(document, list) or not document:
        raise ToolError("no list of records", "give what --json wrote")
    return [_record(at, entry) for at, entry in enumerate(document)]


_OWN = frozenset({
    "concurrency", "request_rate", "model", "protocol", "engine", "requests", "errors",
    "duration_s", "throughput_rps", "latency_us", "server", "stream",
})  # fmt: skip
#: Of ``stream``: times, each with these names, and numbers.
SPREADS, SPREAD = ("ttft_ms", "itl_ms"), ("mean", "p50", "p95", "p99")
NUMBERS = ("tokens", "tokens_per_s", "tokens_per_s_per_user")


def _record(at: int, entry: Any) -> Record:
    def number(name: str, value: Any, *, optional: bool = False) -> float:
        if optional and value is None:
            return math.nan
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise ToolError(
                f"record {at}: {name} is {value!r}, a number from 0 on was expected",
                "give what --json wrote",
            )
        return float(value)

    if not isinstance(entry, dict):
        raise ToolError(f"record {at} is no object", "give what --json wrote")
    server: Any = entry.get("server")
    latency = entry.get("latency_us")
    if not isinstance(latency, dict):
        raise ToolError(f"record {at}: latency_us is missing", "give what --json wrote")
    if ("concurrency" in entry) == ("request_rate" in entry):
        raise ToolError(
            f"record {at} has to have one of concurrency and request_rate",
            "give what --json wrote",
        )
    stream = entry.get("stream", {})
    if not isinstance(stream, dict):
        raise ToolError(f"record {at}: stream is no object", "give what --json wrote")
    for part in SPREADS if stream else ():
        times = stream.get(part)
        if not isinstance(times, dict):
            raise ToolError(f"record {at}: stream.{part} is missing", "give what --json wrote")
        for name in SPREAD:
            number(f"stream.{part}.{name}", times.get(name), optional=True)
    for name in NUMBERS if stream else ():
        number(f"stream.{name}", stream.get(name), optional=True)
    return Record(
        protocol=str(entry.get("protocol", "")),
        requests=int(number("requests", entry.get("requests"))),
        errors=int(number("errors", entry.get("errors"))),
        duration_s=number("duration_s", entry.get("duration_s")),
        throughput_rps=number("throughput_rps", entry.get("throughput_rps")),
        latency_us={
            name: number(f"latency_us.{name}", latency.get(name), optional=True)
            for name in LATENCIES
        },
        concurrency=(
            int(number("concurrency", entry["concurrency"])) if "concurrency" in entry else None
        ),
        request_rate=(
            number("request_rate", entry["request_rate"]) if "request_rate" in entry else None
        ),
        model=str(entry.get("model", "")),
        engine=str(entry.get("engine", "")),
        server=server if isinstance(server, dict) else {},
        stream=stream,
        more={name: value for name, value in entry.items() if name not in _OWN},
    )


def finite(value: Any) -> Any:
    """The same, with null for every number that is none: unknown is not 0."""
    if isinstance(value, Mapping):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
