"""Rounds in which everything that is compared is measured once, in turning order."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pytest_triton.llama.reference import Greedy, Reference
from pytest_triton.llama.result import Line, Ratio
from pytest_triton.load.stats import percentile, ratio_interval
from pytest_triton.load.streams import TokenModel
from pytest_triton.load.tokens import PROTOCOLS, StreamProtocol, TimedStream, summary

#: Requests of each client in a round, one after the other; and the least of a round.
_WAVES, _LEAST = 2, 2
#: Clients more than slots, before the first round: they wait for a slot.
_MORE = 2
#: Seconds for a request, and for each of its tokens on the slowest machine.
_TIMEOUT, _TOKEN = 60.0, 5.0


@dataclass(slots=True)
class Arm:
    """One protocol at one concurrency, and its streams of every round."""

    protocol: StreamProtocol
    concurrency: int
    rounds: list[list[TimedStream]] = field(default_factory=list)

    @property
    def streams(self) -> list[TimedStream]:
        """Of all rounds."""
        return [stream for each in self.rounds for stream in each]

    @property
    def tps(self) -> list[float]:
        """Tokens a second of each round."""
        return [summary(self.protocol, self.concurrency, each).tps for each in self.rounds]

    @property
    def itl(self) -> list[float]:
        """Median inter-token latency of each round, in ms."""
        return [summary(self.protocol, self.concurrency, each).itl_ms.p50 for each in self.rounds]


@dataclass(slots=True)
class Measured:
    """Everything of all rounds.

    ``generate``: tokens a second of the reference in each; ``warm``: streams of uneven lengths
    before the first, by protocol.
    """

    arms: list[Arm]
    generate: list[float]
    warm: dict[StreamProtocol, list[TimedStream]] = field(default_factory=dict)

    def of(self, protocol: StreamProtocol) -> list[Arm]:
        """The arms of a protocol, fewest streams first."""
        return [arm for arm in self.arms if arm.protocol == protocol]

    @property
    def failures(self) -> list[str]:
        """Reasons of requests that failed, each once."""
        return sorted({text for stream in self.streams if (text := failure(stream))})

    @property
    def streams(self) -> list[TimedStream]:
        """Every one of both protocols."""
        return [stream for protocol in PROTOCOLS for stream in self.all_of(protocol)]

    def all_of(self, protocol: StreamProtocol) -> list[TimedStream]:
        """Every stream of a protocol, those before the first round too."""
        measured = (stream for arm in self.of(protocol) for stream in arm.streams)
        return [*self.warm.get(protocol, ()), *measured]


def measure(
    model: TokenModel, reference: Reference | None, prompts: Sequence[Sequence[int]], *,
    tokens: int, concurrencies: Sequence[int], rounds: int, generate: Sequence[float],
    say: Callable[[str], None],
) -> Measured:  # fmt: skip
    """Measure every protocol at every concurrency once a round, and generate() with them.

    Without a ``reference`` beside the server, ``generate`` is what it did before. The order is
    turned round from round to round, so that a machine that drifts does so for all.
    """
    arms = [Arm(protocol, at) for at in sorted(concurrencies) for protocol in PROTOCOLS]
    found = Measured(arms, list(generate))
    for protocol in PROTOCOLS:  # the first of everything is slower: connections, memory, kernels
        found.warm[protocol] = uneven(model, protocol, prompts, tokens, max(concurrencies) + _MORE)
    if reference is not None:
        reference.speed(prompts[:1], min(tokens, 8))
    for number in range(rounds):
        say(f"measuring round {number + 1} of {rounds}")
        order: list[Arm | None] = [None, *arms]
        for arm_or_generate in order if number % 2 == 0 else reversed(order):
            if arm_or_generate is not None:
                arm = arm_or_generate
                arm.rounds.append(_run(model, arm, prompts, tokens, number))
            elif reference is not None:
                found.generate.append(reference.speed(_some(prompts, number), tokens))
    return found


def generate_alone(
    reference: Reference, prompts: Sequence[Sequence[int]], tokens: int, rounds: int
) -> list[float]:
    """Tokens a second of generate() where server and reference do not fit together."""
    reference.speed(prompts[:1], min(tokens, 8))
    return [reference.speed(_some(prompts, number), tokens) for number in range(rounds)]


def failure(stream: TimedStream) -> str:
    """Why a stream is not whole; "" where it is."""
    if not stream.error and len(stream.tokens) != stream.asked:
        return f"{len(stream.tokens)} of {stream.asked} tokens came"
    return stream.error


def lines(measured: Measured) -> list[Line]:
    """The table."""
    found = []
    for arm in measured.arms:
        run = summary(arm.protocol, arm.concurrency, arm.streams)
        tps = arm.tps
        found.append(
            Line(
                arm.protocol, arm.concurrency, percentile(tps, 50), run.tps_per_user,
                run.ttft_ms.p50, run.ttft_ms.p95, run.itl_ms.p50, run.itl_ms.p95,
                ratio(tps, measured.generate), tuple(tps),
            )
        )  # fmt: skip
    return found


def scaling(measured: Measured) -> dict[str, Ratio]:
    """Protocol -> tokens a second of most streams ÷ those of fewest."""
    return {
        protocol: ratio(arms[-1].tps, arms[0].tps)
        for protocol in PROTOCOLS
        if len(arms := measured.of(protocol)) > 1
    }


def ratio(above: Sequence[float], below: Sequence[float]) -> Ratio:
    """Of two series of the same rounds."""
    mean, low, high = ratio_interval(above, below)
    return Ratio(mean, (low, high), tuple(a / b for a, b in zip(above, below, strict=True)))


def said(
    streams: Sequence[TimedStream], wanted: Sequence[Greedy]
) -> tuple[list[list[int]], list[Greedy]]:
    """What streams said, beside as much as was asked for of what the reference says."""
    good = [stream for stream in streams if not stream.error]
    return [s.tokens for s in good], [wanted[s.prompt].part(0, s.asked) for s in good]


def uneven(
    model: TokenModel, protocol: StreamProtocol, prompts: Sequence[Sequence[int]], tokens: int,
    concurrency: int,
) -> list[TimedStream]:  # fmt: skip
    """Streams of one to ``tokens`` tokens: they leave in the middle of others, and others come."""
    counts = list(range(1, tokens + 1))
    random.Random(tokens).shuffle(counts)
    return model.drive(
        protocol, prompts, counts, concurrency=concurrency, requests=4 * concurrency + 2,
        timeout=_TIMEOUT + _TOKEN * tokens,
    )  # fmt: skip


def _run(
    model: TokenModel, arm: Arm, prompts: Sequence[Sequence[int]], tokens: int, number: int
) -> list[TimedStream]:
    return model.drive(
        arm.protocol, prompts, [tokens], concurrency=arm.concurrency,
        requests=max(_LEAST, _WAVES * arm.concurrency), timeout=_TIMEOUT + _TOKEN * tokens,
        first=number * _LEAST,
    )  # fmt: skip


def _some(prompts: Sequence[Sequence[int]], number: int) -> list[Sequence[int]]:
    """As many as a lone client asks in a round."""
    return [prompts[(number * _LEAST + at) % len(prompts)] for at in range(_LEAST)]
