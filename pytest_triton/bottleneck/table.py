"""The analysis on a terminal: a row for each level, its time as a bar, and two sentences."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator

from pytest_triton.bottleneck.causes import Finding
from pytest_triton.bottleneck.facts import Facts
from pytest_triton.bottleneck.measuring import Analysed
from pytest_triton.series import PARTS

#: Characters of a bar, and of a line.
BAR, LINE = 30, 96
#: One letter for each part.
LETTERS = dict(zip(PARTS, "ofqimt", strict=True))
LEGEND = "o outside the server · f front end · q queue · i input · m infer · t output"
HEAD = (
    f"{'concurrency':>11}  {'requests/s':>10}  {'latency':>9}  {'where the time goes':<{BAR}}  "
    f"{'busy':>5}  {'cpu':>5}"
)


def bar(level: Facts) -> str:
    """The parts of the mean latency, a letter for every thirtieth."""
    if not level.parts_ms or not level.latency_ms > 0:
        return "the server does not tell"
    made, done = "", 0.0
    total = sum(level.parts_ms.values())
    for part, letter in LETTERS.items():
        done += level.parts_ms[part]
        made += letter * (round(BAR * done / total) - len(made))
    return made


def row(level: Facts) -> str:
    """One level."""
    rps = f"{level.throughput_rps:,.0f}".replace(",", " ")
    ms = "–" if math.isnan(level.latency_ms) else f"{level.latency_ms:.3g} ms"
    return (
        f"{level.concurrency:>11}  {rps:>10}  {ms:>9}  {bar(level):<{BAR}}  "
        f"{_share(level.busy):>5}  {_share(level.machine):>5}"
    )


def conclusion(analysed: Analysed) -> Iterator[str]:
    """What limits, why, and what to change."""
    yield from _sentence("one request", analysed.answer.latency)
    yield from _sentence("throughput", analysed.answer.throughput)


def _sentence(what: str, finding: Finding) -> Iterator[str]:
    near = f"; nearly as much: {', '.join(finding.also)}" if finding.also else ""
    yield from _wrapped(what, f"{finding.cause.title} ({finding.because}{near})")
    yield from _wrapped("", f"→ {finding.cause.change}")


def _wrapped(name: str, text: str) -> list[str]:
    return textwrap.wrap(text, LINE, initial_indent=f"{name:>11}  ", subsequent_indent=" " * 13)


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.0%}"
