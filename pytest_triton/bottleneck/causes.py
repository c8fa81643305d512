"""What limits a model at a load, out of the facts, and what to change.

Each rule is one that a synthetic server of a known limit obeys (tests/bottleneck). What several
parts share is told as shared, never as one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_triton.bottleneck.facts import Facts, Model

#: Share of the time for which something works that is busy.
BUSY = 0.8
#: Share of the machine in use that leaves nothing, and share of it that others may have.
EXHAUSTED, OTHERS = 0.9, 0.2
#: Processors for each working instance from which executions compute, on an idle machine and at
#: least; share of the machine from which the server computes, whatever its instances do.
COMPUTES, LEAST, SERVES = 0.25, 0.1, 0.15
#: Share of the requests without a good answer that makes every other number idle.
ERRORS = 0.01
#: Part of the mean latency beside which another one of this share of it is told too.
NEAR = 0.8
#: Throughput that grows by this factor from one level to the next has not found its limit, for
#: a load that grew by twice; less growth of the load takes less.
GROWS = 1.15
#: ms outside the server from which the way is worth a word.
WAY_MS = 1.0


@dataclass(frozen=True, slots=True)
class Cause:
    """``key`` is stable, for programs; the others are sentences."""

    key: str
    title: str
    change: str


CAUSES = {
    cause.key: cause
    for cause in (
        Cause("errors", "requests fail", "repair what fails first: speed of errors says nothing"),
        Cause("client", "the load generator is busy",
              "more --processes, or load from another machine"),
        Cause("cache", "answers come out of the response cache",
              "this measures the cache; to measure the model send distinct inputs or leave "
              "response_cache out"),
        Cause("network", "the way to the server",
              "keep connections open, send tensors in binary, smaller inputs and outputs, a "
              "client nearer to the server"),
        Cause("gateway", "requests are held back before the server takes them",
              "look at the limits of a gateway in front of it, at --http-thread-count, and at how "
              "busy its processors are"),
        Cause("front end", "the server's front end",
              "binary tensors instead of JSON, shared memory, larger batches in one request, gRPC"),
        Cause("delay", "requests wait for others to share a batch",
              "lower max_queue_delay_microseconds, or drive more requests at once"),
        Cause("batching", "requests are executed one by one",
              "turn on dynamic_batching { }: the model takes batches"),
        Cause("scheduler", "requests wait while instances are idle",
              "look at the rate limiter's resources, priorities, and slots of sequences"),
        Cause("instances", "every instance is busy",
              "raise instance_group count: the machine has room"),
        Cause("processor", "the processors are exhausted",
              "fewer threads for each instance, a smaller or quantised model, more or faster "
              "processors, a GPU; more instances do not help"),
        Cause("neighbours", "other programs use the machine",
              "stop them, or give the server processors of its own"),
        Cause("gpu", "the GPU is exhausted",
              "half precision, larger batches, another card; more instances do not help"),
        Cause("input", "inputs are copied",
              "binary tensors, shared memory, smaller inputs"),
        Cause("output", "outputs are copied",
              "binary tensors, shared memory, only the outputs that are needed"),
        Cause("model", "the model itself",
              "a faster model: optimised TorchScript, half precision, a GPU"),
        Cause("steps", "the steps of the ensemble", "analyse each step as a model of its own"),
        Cause("none", "nothing yet: throughput still grows", "drive more requests at once"),
        Cause("unknown", "the server does not tell where the time goes",
              "allow its statistics (/v2/models/M/stats) to be read"),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause with the numbers that say so; ``also``: keys of parts that are nearly as large."""

    cause: Cause
    because: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """``latency``: where a request's time goes at the lightest load. ``throughput``: what keeps
    the heaviest one from more."""

    latency: Finding
    throughput: Finding


def analyse(levels: Sequence[Facts], model: Model) -> Answer:
    """Levels of a closed loop, by ascending concurrency. Raises ValueError for none."""
    if not levels:
        raise ValueError("there is nothing to analyse: no level was measured")
    ordered = sorted(levels, key=lambda level: level.concurrency)
    first, last = ordered[0], ordered[-1]
    growing = _grows(ordered, model)
    return Answer(
        find(first, first, model), growing or find(last, first, model),
    )  # fmt: skip


def _grows(levels: Sequence[Facts], model: Model) -> Finding | None:
    """Whether the last step of the load still bought throughput."""
    last = levels[-1]
    if _spoilt(last, model):
        return None
    if len(levels) == 1:
        if last.concurrency <= model.instances and not last.busy >= BUSY:
            return _finding("none", f"{last.concurrency} in flight, {model.instances} instances")
        return None
    before = max(levels[:-1], key=lambda level: level.throughput_rps)
    wanted = 1 + (GROWS - 1) * math.log2(last.concurrency / max(before.concurrency, 1))
    if before.throughput_rps <= 0 or last.throughput_rps < wanted * before.throughput_rps:
        return None
    if (
        last.busy >= BUSY
        and last.share("queue") > 0.5
        and not (last.mean_batch > GROWS * before.mean_batch)
    ):  # a lighter level that was disturbed looks like growth
        return None
    return _finding(
        "none",
        f"{before.throughput_rps:,.0f} → {last.throughput_rps:,.0f} requests/s from "
        f"{before.concurrency} to {last.concurrency} in flight",
    )


def find(level: Facts, alone: Facts, model: Model) -> Finding:
    """What most of a request's time at one level is spent on; ``alone``: the lightest level."""
    if spoilt := _spoilt(level, model):
        return spoilt
    if not level.parts_ms:
        return _finding("unknown", f"{level.latency_ms:.1f} ms by the client alone")
    parts = sorted(level.parts_ms, key=lambda part: -level.parts_ms[part])
    most = parts[0]
    key, more = _cause(most, level, alone, model)
    because = f"{most} takes {level.share(most):.0%} of {level.latency_ms:.2f} ms"
    also = tuple(
        part for part in parts[1:] if level.parts_ms[part] >= NEAR * level.parts_ms[most] > 0
    )
    return _finding(key, f"{because}{'; ' if more else ''}{more}", also)


def _spoilt(level: Facts, model: Model) -> Finding | None:
    """What makes the split of the time idle."""
    if level.errors > ERRORS:
        return _finding("errors", f"{level.errors:.0%} of the requests have no good answer")
    if level.client > BUSY:
        return _finding("client", f"it computes for {level.client:.0%} of the time")
    if level.hits > 0.5:
        return _finding("cache", f"{level.hits:.0%} of the answers")
    return None


def _cause(most: str, level: Facts, alone: Facts, model: Model) -> tuple[str, str]:
    """The key for the largest part, and what else speaks for it."""
    if most == "outside":
        return _outside(level, alone)
    if model.steps:
        return "steps", ", ".join(dict.fromkeys(model.steps))
    if most == "queue":
        return _queue(level, model)
    if most in ("infer", "front end") and (used := _used_up(level)):
        return used
    if most == "infer":
        if level.gpu >= BUSY and level.concurrency > 1:
            return "gpu", f"utilization {level.gpu:.0%}"
        return "model", ""
    return most, ""


def _queue(level: Facts, model: Model) -> tuple[str, str]:
    waited = level.parts_ms["queue"]
    told = "" if math.isnan(level.busy) else f"instances work {level.busy:.0%} of the time"
    if (
        model.dynamic
        and model.delay_ms > 0
        and level.busy < BUSY
        and waited <= 1.5 * model.delay_ms
    ):
        return "delay", f"{told}; max_queue_delay is {model.delay_ms:g} ms"
    if level.busy < BUSY:
        if used := _used_up(level):
            return used
        limited = "; instances take resources of the rate limiter" if model.limited else ""
        return "scheduler", told + limited
    if model.max_batch > 1 and not model.dynamic and not model.sequences:
        return "batching", f"{told}; max_batch_size is {model.max_batch}"
    if used := _used_up(level):
        return used
    if level.gpu >= BUSY:
        return "gpu", f"utilization {level.gpu:.0%}"
    room = "" if math.isnan(level.machine) else f"; {level.machine:.0%} of the processors in use"
    full = (
        f"; batches are full ({level.mean_batch:.1f} of {model.max_batch} rows)"
        if model.dynamic and level.mean_batch >= 0.9 * model.max_batch > 1 else ""
    )  # fmt: skip
    return "instances", told + full + room


def _outside(level: Facts, alone: Facts) -> tuple[str, str]:
    """On the way, in front of the server, or in a machine that has nothing left."""
    if used := _used_up(level):
        return used
    away, lone = level.parts_ms["outside"], alone.parts_ms.get("outside", math.nan)
    if level.concurrency > alone.concurrency and away > 2 * lone + WAY_MS:
        held = level.share("outside") * level.concurrency
        return "gateway", (
            f"{held:.1f} of {level.concurrency} requests in flight are outside on average; alone "
            f"a request spends {lone:.1f} ms there"
        )
    return "network", f"{away:.2f} ms for each request"


def _used_up(level: Facts) -> tuple[str, str] | None:
    """Whether the machine has nothing left that the server would use, and whose work that is."""
    if not level.machine >= EXHAUSTED or _waits(level):
        return None
    told = f"{level.machine:.0%} of the processors in use"
    if level.others >= OTHERS:
        return "neighbours", f"{told}, {level.others:.0%} by other programs"
    return "processor", told


def _waits(level: Facts) -> bool:
    """Whether the server hardly computes, so that processors are not what it lacks. Of a full
    machine it gets less than it would take."""
    return level.work < max(COMPUTES * (1 - level.others), LEAST) and level.server < SERVES


def _finding(key: str, because: str, also: tuple[str, ...] = ()) -> Finding:
    return Finding(CAUSES[key], because, also)
