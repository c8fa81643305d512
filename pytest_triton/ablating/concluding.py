"""What every arm comes to: rows are judged against 1, the control, and what others did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_triton.ablating import judging
from pytest_triton.ablating.arms import BASE, CONTROL
from pytest_triton.ablating.found import Ablation, Result, Row
from pytest_triton.load.paired import Side, told
from pytest_triton.load.stats import ratio_interval

Load = tuple[int, int]


def pooled(first: Row, second: Row) -> Row:
    """Two measurements of the control as one: noise that comes later widens its interval.

    One that others disturbed gives way to one that they did not.
    """
    if judging.others(second.foreign_cpu):
        if not judging.others(first.foreign_cpu):
            return first
    elif judging.others(first.foreign_cpu):
        return second
    speed = (*first.throughput_pairs, *second.throughput_pairs)
    delay = (*first.latency_pairs, *second.latency_pairs)
    throughput, *one = ratio_interval(speed, [1.0] * len(speed))
    latency, *two = ratio_interval(delay, [1.0] * len(delay))
    return replace(
        first, base=_middle(first.base, second.base), arm=_middle(first.arm, second.arm),
        throughput=throughput, throughput_interval=(one[0], one[1]), throughput_pairs=speed,
        latency=latency, latency_interval=(two[0], two[1]), latency_pairs=delay,
        foreign_cpu=max(first.foreign_cpu, second.foreign_cpu),
    )  # fmt: skip


def _middle(one: Side, two: Side) -> Side:
    """Between the two; of p95 the worse."""
    return Side(
        (one.rps * two.rps) ** 0.5, (one.p50_ms * two.p50_ms) ** 0.5, max(one.p95_ms, two.p95_ms)
    )


def conclude(made: Ablation) -> None:
    """Give every row its words and every arm its verdict."""
    judged = [arm for arm in made.arms if arm.name not in (BASE, CONTROL)]
    made.confidence = judging.confidence(sum(len(arm.rows) for arm in judged))
    control = next((arm for arm in made.arms if arm.name == CONTROL), None)
    control_rows = [] if control is None or control.refused else control.rows
    quiet = {(row.batch, row.concurrency): row for row in control_rows
             if not judging.others(row.foreign_cpu)}  # fmt: skip
    off = {load: row for load, row in quiet.items() if _noisy(row, made.confidence)}
    for arm in made.arms:
        arm.rows = [_worded(row, arm.name, quiet, off, made.confidence) for row in arm.rows]
    for arm in made.arms:
        arm.verdict = _verdict(arm)
    disturbed = [row.foreign_cpu for arm in made.arms for row in arm.rows
                 if judging.others(row.foreign_cpu)]  # fmt: skip
    made.noise = " ".join(filter(None, (
        _no_control(control), judging.noise([_told(row) for row in off.values()]),
        judging.busy(len(disturbed), max(disturbed, default=0.0)),
    )))  # fmt: skip


def _no_control(control: Result | None) -> str:
    if control is not None and control.rows and not control.refused:
        return ""
    reason = (control.refused or control.unmeasured) if control else ""
    return "There is no control, so that nothing is known of noise and no arm is judged" + (
        f": {reason}" if reason else "."
    )


def _told(row: Row) -> str:
    return (
        f"batch {row.batch}, {row.concurrency} at once "
        f"(throughput {told(row.throughput, row.throughput_interval)}, "
        f"p50 {told(row.latency, row.latency_interval)})"
    )


def _sure(pairs: Sequence[float], confidence: float) -> tuple[float, float]:
    _, low, high = ratio_interval(pairs, [1.0] * len(pairs), confidence=confidence)
    return low, high


def _noisy(control: Row, confidence: float) -> bool:
    return any(
        judging.wide(interval) or judging.away(_sure(pairs, confidence))
        for interval, pairs in (
            (control.throughput_interval, control.throughput_pairs),
            (control.latency_interval, control.latency_pairs),
        )
    )


def _worded(
    row: Row, arm: str, quiet: dict[Load, Row], off: dict[Load, Row], confidence: float
) -> Row:
    """The row with its words, and the intervals that they follow from."""
    load = (row.batch, row.concurrency)
    speed, delay = (_sure(pairs, confidence) for pairs in (row.throughput_pairs, row.latency_pairs))
    row = replace(row, throughput_judged=speed, latency_judged=delay)
    silent = judging.others(row.foreign_cpu) or (
        judging.NO_CONTROL if load not in quiet else judging.NOISY if load in off else ""
    )
    if silent:
        return replace(row, throughput_word=silent, latency_word=silent)
    if arm == CONTROL:
        return replace(row, throughput_word=judging.NOTHING, latency_word=judging.NOTHING)
    control = quiet[load]
    return replace(
        row, throughput_word=judging.of_throughput(speed, control.throughput_interval),
        latency_word=judging.of_latency(delay, control.latency_interval),
    )  # fmt: skip


def _verdict(arm: Result) -> str:
    near = arm.accuracy is None or arm.accuracy.near
    if arm.refused:
        return "refused"
    if near and arm.unmeasured and not arm.rows:
        return judging.NOT_MEASURED
    if near and arm.name in (BASE, CONTROL):
        return arm.name
    return judging.of_arm((row.throughput_word for row in arm.rows), near=near)
