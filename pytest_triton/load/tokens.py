"""What is measured of a stream of tokens, by the field's definitions, as pure functions.

As genai-perf computes them: TTFT is the first response that is not empty, minus the start of the
request; ITL is (latency − TTFT) ÷ (tokens − 1), a mean within one request; tokens a second are
all tokens ÷ (last response − first request); and for a user 1 ÷ ITL.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from pytest_triton.load.stats import percentile

#: An id; or what a response says, as text or as numbers.
Token: TypeAlias = "int | str | tuple[float, ...]"
StreamProtocol = Literal["grpc", "http"]
#: gRPC streams, or server-sent events of generate_stream.
PROTOCOLS: tuple[StreamProtocol, ...] = ("grpc", "http")


@dataclass(slots=True)
class TimedStream:
    """One request: monotonic seconds of its start and of each token.

    ``prompt``: the number of its prompt; ``asked``: tokens that were asked for; ``tokens``: each
    a :data:`Token`, of which one response may hold several.
    """

    prompt: int
    started: float
    asked: int = 0
    tokens: list[Any] = field(default_factory=list)
    stamps: list[float] = field(default_factory=list)
    error: str = ""
    #: Whether the error is what the server answered.
    refused: bool = False

    @property
    def ttft_s(self) -> float:
        """Time to first token; NaN when none came."""
        return self.stamps[0] - self.started if self.stamps else math.nan

    @property
    def latency_s(self) -> float:
        """From the start to the last token; NaN when none came."""
        return self.stamps[-1] - self.started if self.stamps else math.nan

    @property
    def itl_s(self) -> float:
        """Inter-token latency; NaN with fewer than two tokens."""
        if len(self.stamps) < 2:
            return math.nan
        return (self.latency_s - self.ttft_s) / (len(self.stamps) - 1)


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds, over requests."""

    mean: float
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class TokenRun:
    """One protocol at one concurrency. Rates are tokens a second."""

    protocol: StreamProtocol
    concurrency: int
    requests: int
    tokens: int
    seconds: float
    ttft_ms: Spread
    itl_ms: Spread
    latency_ms: Spread
    tps: float
    tps_per_user: float
    errors: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


def summary(protocol: StreamProtocol, concurrency: int, streams: Sequence[TimedStream]) -> TokenRun:
    """The numbers of a run. Streams with an error count among the errors only."""
    good = [stream for stream in streams if not stream.error and stream.stamps]
    failed = (stream for stream in streams if stream.error or not stream.stamps)
    errors = [stream.error or "no token came" for stream in failed]
    tokens = sum(len(stream.tokens) for stream in good)
    first = min((stream.started for stream in good), default=math.nan)
    last = max((stream.stamps[-1] for stream in good), default=math.nan)
    itl = [stream.itl_s for stream in good if len(stream.stamps) > 1]
    seconds = last - first
    return TokenRun(
        protocol, concurrency, len(streams), tokens, seconds,
        _spread([stream.ttft_s for stream in good]), _spread(itl),
        _spread([stream.latency_s for stream in good]),
        tokens / seconds if good and seconds > 0 else math.nan,
        1 / percentile(itl, 50) if itl and percentile(itl, 50) > 0 else math.nan,
        tuple(sorted(set(errors))),
    )  # fmt: skip


def _spread(seconds: Sequence[float]) -> Spread:
    values = [1000 * value for value in seconds]
    mean = sum(values) / len(values) if values else math.nan
    return Spread(mean, *(percentile(values, q) for q in (50, 95, 99)))
