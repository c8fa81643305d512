"""Whether a benchmark's numbers can have been measured: each rule names the place and the numbers.

Rules hold for every true measurement; a benchmark that somebody measured is never called
implausible, one that somebody made up may pass. Sources: Little's law; the order of percentiles;
what the tools' files say of counts (reference/performance.md, 2).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

from pytest_triton.load.reading.level import Level

#: Share by which throughput times mean latency may differ from the requests in flight.
LITTLE = 0.15
#: Requests of a level, at least.
ENOUGH = 100
#: Levels of a benchmark, at least.
LEVELS = 3
#: Share by which throughput times duration may differ from the requests.
COUNTS = 0.10
#: Latencies within this share of each other count as no growth.
FLAT = 0.10
_ORDER = ("p50", "p90", "p95", "p99")


def implausible(levels: Sequence[Level]) -> list[str]:
    """What cannot be, one sentence each; empty for a plausible benchmark of one model."""
    found: list[str] = []
    for level in levels:
        found += _alone(level)
    found += _copied(levels)
    found += _flat(levels)
    found += _round(levels)
    return found


def too_few(levels: Sequence[Level]) -> str:
    """Why this is no benchmark over several levels of concurrency; "" for one that is."""
    kept = {level.offered for level in levels if level.record.concurrency is not None}
    if len(kept) >= LEVELS:
        return ""
    place = levels[0].place if levels else "the benchmark"
    word = "level" if len(kept) == 1 else "levels"
    return f"{place}: {len(kept)} {word} of concurrency, at least {LEVELS} are asked for"


def _alone(level: Level) -> Iterator[str]:
    record, place = level.record, level.place
    told = [(name, level.latency_us(name)) for name in _ORDER]
    told = [(name, value) for name, value in told if not math.isnan(value)]
    for (low, first), (high, second) in pairwise(told):
        if first > second:
            yield f"{place}: {low} is {_ms(first)} and {high} {_ms(second)}: no percentiles"
    if any(value <= 0 for _, value in told):
        yield f"{place}: a latency of 0"
    if level.counted and record.requests < ENOUGH:
        yield f"{place}: {record.requests} requests, at least {ENOUGH} are asked for"
    if level.counted and record.errors > record.requests:
        yield f"{place}: {record.errors} errors of {record.requests} requests"
    yield from _counts(level)
    yield from _mean(level)
    yield from _little(level)


def _counts(level: Level) -> Iterator[str]:
    record = level.record
    if not level.counted or math.isnan(record.duration_s) or record.duration_s <= 0:
        return
    came = record.throughput_rps * record.duration_s
    # Requests in flight at the ends are counted by some tools; a batch holds inferences.
    room = COUNTS * came + 2 * (record.concurrency or 0) + 2
    if level.inferences and came > record.requests:
        return
    if not record.requests - record.errors - room <= came <= record.requests + room:
        yield (
            f"{level.place}: {record.throughput_rps:g}/s for {record.duration_s:g} s come to "
            f"{came:.0f} requests, {record.requests} are said"
        )


def _mean(level: Level) -> Iterator[str]:
    """A mean has to lie above half of the median: half of the answers took at least that."""
    mean, median = level.latency_us("mean"), level.latency_us("p50")
    if mean < 0.5 * median * (1 - level.slack) - 1:
        yield f"{level.place}: the mean is {_ms(mean)} and the median {_ms(median)}"


def bounds(level: Level) -> tuple[float, float]:
    """The mean latency in microseconds, as an interval when only percentiles are told."""
    mean = level.latency_us("mean")
    if not math.isnan(mean):
        return mean, mean
    p50, p95, p99 = (level.latency_us(name) for name in ("p50", "p95", "p99"))
    # The slowest hundredth may have any latency; 20 times p99 on average is a lot.
    return 0.5 * p50 + 0.05 * p95, 0.5 * p50 + 0.45 * p95 + 0.04 * p99 + 0.2 * p99


def _little(level: Level) -> Iterator[str]:
    """Requests in flight are throughput times mean latency."""
    record = level.record
    if record.concurrency is None:
        return
    low, high = (record.throughput_rps * mean / 1e6 for mean in bounds(level))
    if math.isnan(low) or math.isnan(high):
        return
    kept = record.concurrency
    room = LITTLE + level.slack
    if low > kept * (1 + room):
        told = f"{low:.4g} requests in flight" + ("" if low == high else " or more")
        text = (
            f"{level.place}: {record.throughput_rps:g}/s times "
            f"{_ms(low / record.throughput_rps * 1e6)} is {told}, {kept} were kept in flight"
        )
        rows = low / kept
        if level.inferences and abs(rows - round(rows)) < LITTLE * round(rows):
            text += f"; if requests held {round(rows)} inferences, say  batch = {round(rows)}"
        yield text
        return
    # A request that failed was in flight too, for a time that nobody tells.
    failed = record.errors / record.requests if level.counted and record.requests else 0.0
    if not level.thinks and high < kept * (1 - room - failed):
        told = f"{high:.4g} requests in flight" + ("" if low == high else " at most")
        text = (
            f"{level.place}: {record.throughput_rps:g}/s times "
            f"{_ms(high / record.throughput_rps * 1e6)} is {told}, {kept} were kept in flight"
        )
        if level.tool == "perf_analyzer":
            text += (
                "; with --request-count its throughput is wrong, of a stream it tells the first "
                "response: measure with windows and hand in --profile-export-file"
            )
        yield text


def _numbers(level: Level) -> list[float]:
    latencies = [level.latency_us(name) for name in ("mean", *_ORDER)]
    return [level.record.throughput_rps, *(v for v in latencies if not math.isnan(v))]


def _copied(levels: Sequence[Level]) -> Iterator[str]:
    for one, other in combinations(levels, 2):
        if one.offered != other.offered and _numbers(one) == _numbers(other):
            yield (
                f"{other.place}: {other.record.load} has the numbers of {one.record.load} "
                f"({one.place}), every digit"
            )


def _flat(levels: Sequence[Level]) -> Iterator[str]:
    """Twice the requests in flight at the same throughput wait twice as long."""
    closed = sorted(
        (level for level in levels if level.record.concurrency is not None),
        key=lambda level: level.offered,
    )
    for one, other in combinations(closed, 2):
        if other.offered < 2 * one.offered or one.tool != other.tool:
            continue
        throughput = other.record.throughput_rps / one.record.throughput_rps
        grown = [
            other.latency_us(name) / one.latency_us(name)
            for name in ("mean", "p50", "p95", "p99")
            if one.latency_us(name) > 0 and not math.isnan(other.latency_us(name))
        ]
        if throughput <= 1 + FLAT and len(grown) >= 3 and max(grown) <= 1 + FLAT:
            yield (
                f"{other.place}: {other.record.load} against {one.record.concurrency}: throughput "
                f"times {throughput:.2f} and no latency above times {max(grown):.2f}: "
                "what waits longer has to take longer"
            )


def _round(levels: Sequence[Level]) -> Iterator[str]:
    """Three throughputs and all latencies with two digits and zeros: nobody measures that."""
    if len(levels) < LEVELS or any(level.record.concurrency is None for level in levels):
        return
    throughputs = [level.record.throughput_rps for level in levels]
    latencies = [number for level in levels for number in _numbers(level)[1:]]
    if min(throughputs) >= 100 and all(map(_two_digits, throughputs + latencies)):
        told = ", ".join(f"{number:g}" for number in throughputs)
        yield f"{levels[0].place}: too round to be measured: throughputs {told}"


def _two_digits(number: float) -> bool:
    return float(f"{number:.1e}") == number


def _ms(microseconds: float) -> str:
    return f"{microseconds / 1e3:.4g} ms"
