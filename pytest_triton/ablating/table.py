"""An ablation for a terminal, out of its JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_triton.ablating.judging import NOT_MEASURED
from pytest_triton.load.paired import told


def table(made: Mapping[str, Any]) -> list[str]:
    """Speed of every arm against the base, then accuracy, load time and size, then verdicts."""
    return [*_speed(made), "", *_beside(made), "", *_notes(made)]


def _speed(made: Mapping[str, Any]) -> Iterator[str]:
    wide = max(len(arm["title"]) for arm in made["arms"])
    head = "throughput ÷ base"
    said = max([len(head), *(len(_said(row)) for arm in made["arms"] for row in arm["rows"])])
    yield (
        f"{'arm':{wide}}  batch  at once   req/s    p50 ms   "
        f"{head:{said}}  {'p50 ÷ base':20} others"
    )
    for arm in made["arms"]:
        for row in arm["rows"]:
            side = row["arm"]
            yield (
                f"{arm['title']:{wide}}  {row['batch']:5}  {row['concurrency']:7} "
                f"{side['rps']:7.1f} {side['p50_ms']:9.2f}   {_said(row):{said}}  "
                f"{told(row['latency'], row['latency_interval']):20} {row['foreign_cpu']:6.2f}"
            )


def _said(row: Mapping[str, Any]) -> str:
    return f"{row['throughput_word']} {told(row['throughput'], row['throughput_interval'])}"


def _beside(made: Mapping[str, Any]) -> Iterator[str]:
    wide = max(len(arm["title"]) for arm in made["arms"])
    yield (
        f"{'arm':{wide}}  error abs  error rel  {'top-1':>6}  load s  file MiB   what it comes to"
    )
    for arm in made["arms"]:
        if arm["accuracy"] is None or arm["refused"]:
            what = "refused" if arm["refused"] else NOT_MEASURED
            yield f"{arm['title']:{wide}}  {what}: {arm['refused'] or arm['unmeasured']}"
            continue
        near = arm["accuracy"]
        yield (
            f"{arm['title']:{wide}}  {number(near['max_abs']):>9}  {number(near['max_rel']):>9}  "
            f"{percent(near['top1']):>6}  {arm['load_s']:6.2f}  {arm['bytes'] / 2**20:8.2f}   "
            f"{arm['verdict']}"
        )


def _notes(made: Mapping[str, Any]) -> Iterator[str]:
    yield f"errors: largest difference from {made['reference']}; rel: over the largest value"
    if made["choice"]:
        yield f"top-1: rows whose largest entry of {made['choice']} is the reference's"
    yield (
        f"others: cores that other processes used meanwhile, {made['foreign_cpu']:.2f} of "
        f"{made['versions']['cores']} in the middle"
    )
    yield certainty(made)
    for arm in made["arms"]:
        if arm["unmeasured"] and arm["accuracy"] is not None:
            yield f"{arm['title']}: {arm['unmeasured']}"
    yield from filter(None, (made["noise"], made["ended"]))


def certainty(made: Mapping[str, Any]) -> str:
    """What the words follow from, and how often luck alone gives one."""
    return (
        "intervals are of 95 %; a word follows from one of "
        f"{100 * made['confidence']:.4g} % that leaves out 1 and the control's, so that 5 % hold "
        "for all throughputs of the table together"
    )


def number(value: float | None) -> str:
    """An error for a reader."""
    return "not finite" if value is None else f"{value:.2g}"


def percent(value: float | None) -> str:
    """A share for a reader; "–" where there is none."""
    return "–" if value is None else f"{100 * value:.4g} %"
