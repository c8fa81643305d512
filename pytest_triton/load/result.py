"""What a load run found, and whether it keeps a budget."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pytest_triton.criteria.status import Inconclusive
from pytest_triton.errors import ToolError
from pytest_triton.load import budgets as kinds
from pytest_triton.load.asked import Asked, asked
from pytest_triton.load.budgets import Judgement
from pytest_triton.load.relative import relative
from pytest_triton.load.sequential import MARGINS, WINDOW_S
from pytest_triton.load.serverside import Reading
from pytest_triton.load.stats import percentile

MAX_S = 60.0
"""Seconds of load after which what is not decided stays so."""


@dataclass(frozen=True, eq=False)
class LoadResult:
    """One run. Counts are of requests that ended in the window or were in flight at its end.

    ``requests``: all of them; ``errors``: those without a good answer (``error_texts`` tells
    them apart); ``wrong``: good-looking answers whose content was wrong, found on ``checked``
    samples (a sample stands for itself alone). ``throughput_rps`` counts good answers inside
    the window. ``latency_us`` holds one latency per good answer in microseconds,
    ``ended_s`` when each ended, in seconds after the window opened. ``foreign_cpu``: cores
    that others used; NaN when the server's processes are on this host and were not named.
    ``started`` and ``finished`` are monotonic seconds.
    """

    requests: int
    errors: int
    wrong: int
    checked: int
    duration_s: float
    throughput_rps: float
    latency_us: np.ndarray[Any, Any]
    ended_s: np.ndarray[Any, Any]
    started: float
    finished: float
    concurrency: int
    error_texts: Counter[str] = field(default_factory=Counter)
    wrong_texts: Counter[str] = field(default_factory=Counter)
    foreign_cpu: float = math.nan
    server_cpu: float = math.nan
    """Cores that the server's named processes used; NaN where none was named."""
    foreign_series: Sequence[tuple[float, float, float]] = ()
    """(from, to, cores) in seconds after the window opened."""
    client_cpu_s: float = 0.0
    """Of the clients, from the start of the warm-up to their end."""
    client_busy: float = 0.0
    """Share of that time for which the busiest of their processes computed."""
    inferences: float = 0.0
    """Inferences per second: throughput times the batch of a request."""
    protocol: str = "http"
    request_rate: float = math.nan
    """Requests planned a second, in an open loop (``concurrency`` is 0 then)."""
    arrivals: str = ""
    planned: int = 0
    late_us: np.ndarray[Any, Any] = field(default_factory=lambda: np.empty(0))
    """Open loop: microseconds from the planned time to sending, for each good answer."""
    slept_us: np.ndarray[Any, Any] = field(default_factory=lambda: np.empty(0))
    """Open loop: microseconds by which the generator itself was late, for each request."""
    failed_s: np.ndarray[Any, Any] = field(default_factory=lambda: np.empty(0))
    """When requests failed, in seconds after the window opened."""
    beat_s: np.ndarray[Any, Any] = field(default_factory=lambda: np.empty(0))
    """Beats of a metronome in the generator, and ``beat_us`` by which they were late:
    whether this machine was at peace, also where nobody can say whose the processes are."""
    beat_us: np.ndarray[Any, Any] = field(default_factory=lambda: np.empty(0))
    connections: int = 0
    processes: int = 1
    good: int = 0
    """Good answers of the whole run, the warm-up included; ``bad``: requests without one."""
    bad: int = 0
    served: Reading | None = None
    """What the server counted since the window opened."""
    served_whole: Reading | None = None
    unread: str = ""
    doubts: tuple[str, ...] = ()
    """Reasons not to believe these numbers: see trust.py."""
    lateness: str = ""
    """Why the latencies of an open loop may be the generator's own."""
    again: Callable[[float], LoadResult] | None = None
    """Measures so many seconds more of the same load; None where that is not possible."""
    turns: Sequence[tuple[float, float]] = ()
    """(from, to) of the runs that this one was merged from; empty: it is one."""

    @property
    def error_rate(self) -> float:
        """Errors and wrong answers, as a share of the requests; NaN without requests."""
        return (self.errors + self.wrong) / self.requests if self.requests else math.nan

    def percentile_ms(self, q: float) -> float:
        """A latency percentile in milliseconds; NaN without a good answer."""
        return percentile(self.latency_us, q) / 1e3

    @property
    def parts(self) -> Sequence[tuple[float, float]]:
        """(from, to) of every run in this one, in its seconds."""
        return self.turns or ((0.0, self.duration_s),)

    def windows(self, q: float, *, length_s: float = WINDOW_S) -> list[tuple[float, float, float]]:
        """(from, to, percentile in ms) of consecutive windows.

        Each lasts at least ``length_s`` and holds enough answers for the percentile (100 for
        p95): a slow model gets longer windows, and a stall lengthens the window it falls into.
        """
        needed = max(10, math.ceil(5 / (1 - q / 100) - 1e-9)) if q < 100 else 10
        order = np.argsort(self.ended_s, kind="stable")
        ended, latency = self.ended_s[order], self.latency_us[order]
        found, first, begun = [], 0, 0.0
        while first + needed <= len(ended):
            last = max(first + needed, int(np.searchsorted(ended, begun + length_s, "right")))
            if last >= len(ended) and self.duration_s < begun + length_s:
                break
            # the window that the end of the run cuts short is not one
            end = max(begun + length_s, float(ended[last - 1]))
            found.append((begun, end, percentile(latency[first:last], q) / 1e3))
            first, begun = last, end
        return found

    def judge(
        self, *, of: LoadResult | None = None, max_s: float = MAX_S, **budgets: float | None
    ) -> list[Judgement]:
        """As :meth:`settle`, the judgements alone."""
        return self.settle(of=of, max_s=max_s, **budgets)[1]

    def settle(
        self, *, of: LoadResult | None = None, max_s: float = MAX_S, **budgets: float | None
    ) -> tuple[LoadResult, list[Judgement]]:
        """The run that it came to, and a judgement for every budget that is given.

        Wrong content fails whatever was asked. Budgets: ``p50_ms``, ``p90_ms``, ``p95_ms``,
        ``p99_ms``, ``p999_ms`` (milliseconds, at most); the same as ``…_times``, multiples of the
        run ``of``; ``throughput_rps`` (at least); ``error_rate`` (a share, at most). ValueError
        for one that cannot be meant.

        While a verdict is open, load goes on by ``again`` up to ``max_s`` seconds in all: the
        tests may be looked at meanwhile without erring more often. See
        :mod:`pytest_triton.load.sequential` for their error rates.
        """
        wanted = asked(budgets, relative=of is not None)
        if isinstance(max_s, bool) or not 0 < max_s < math.inf:
            raise ValueError(f"max_s={max_s!r}: write seconds of load, e.g. max_s=60")
        run = self
        found = run._judged(wanted, of)
        while (
            run.again is not None
            and not wanted.latency_times
            and not run.doubts
            and any(entry.verdict == "inconclusive" for entry in found)
            and not any(entry.verdict == "fail" for entry in found)
            and run.duration_s < max_s - 0.5
        ):
            run = run.longer(min(_step(run.duration_s), max_s - run.duration_s))
            found = run._judged(wanted, of)
        return run, found

    def require(
        self, *, of: LoadResult | None = None, max_s: float = MAX_S, **budgets: float | None
    ) -> list[Judgement]:
        """Raise AssertionError for a budget that is broken, Inconclusive for one that cannot be
        told; return the judgements when all are kept. Arguments as for :meth:`judge`."""
        found = self.judge(of=of, max_s=max_s, **budgets)
        told(found)
        return found

    def longer(self, seconds: float) -> LoadResult:
        """This run and ``seconds`` more of the same load. ToolError where it cannot go on."""
        if self.again is None:
            raise ToolError("this run cannot go on", "measure longer from the start: duration_s")
        return merged(self, self.again(seconds))

    def _judged(self, wanted: Asked, of: LoadResult | None) -> list[Judgement]:
        bad = kinds.content(self)
        found = [bad] if bad else []
        if wanted.error_rate is not None:
            found.append(kinds.errors(self, wanted.error_rate))
        if wanted.throughput_rps is not None:
            found.append(kinds.throughput(self, wanted.throughput_rps))
        found += [kinds.latency(self, q, most) for q, most in wanted.latency_ms.items()]
        if of is not None:
            found += [relative(self, of, q, most) for q, most in wanted.latency_times.items()]
        return [self._believed(entry) for entry in found]

    def _believed(self, entry: Judgement) -> Judgement:
        """Numbers that contradict each other tell nothing but that answers are wrong; where the
        generator was late a latency is not the server's alone."""
        doubt = "; ".join(self.doubts)
        if not doubt and entry.verdict == "fail" and entry.name.endswith("_ms"):
            doubt = self.lateness
        if not doubt or entry.name == "content":
            return entry
        reason = f"{entry.reason}; not to be believed: {doubt}"
        return replace(entry, verdict="inconclusive", reason=reason)

    def summary(self) -> Mapping[str, float]:
        """The numbers for a report; units are in the names."""
        return {
            "requests": self.requests,
            "errors": self.errors,
            "wrong": self.wrong,
            "duration_s": self.duration_s,
            "throughput_rps": self.throughput_rps,
            "p50_ms": self.percentile_ms(50),
            "p95_ms": self.percentile_ms(95),
            "p99_ms": self.percentile_ms(99),
            "foreign_cpu": self.foreign_cpu,
        }


def told(found: Sequence[Judgement]) -> None:
    """Raise AssertionError for what failed, else Inconclusive for what is open."""
    failed = [entry.reason for entry in found if entry.verdict == "fail"]
    if failed:
        raise AssertionError("\n".join(failed))
    doubtful = [entry.reason for entry in found if entry.verdict == "inconclusive"]
    if doubtful:
        raise Inconclusive("\n".join(doubtful))


def merged(one: LoadResult, two: LoadResult) -> LoadResult:
    """Two runs of the same load as one: counts add, samples follow each other.

    The seconds between them are left out: the second begins where the first ends.
    """
    duration = one.duration_s + two.duration_s
    good = one.throughput_rps * one.duration_s + two.throughput_rps * two.duration_s
    inferences = one.inferences * one.duration_s + two.inferences * two.duration_s
    series = [
        (since + begin, to + begin, cores)
        for run, begin in ((one, 0.0), (two, one.duration_s))
        for since, to, cores in _inside(run.foreign_series, run.duration_s)
    ]
    spent = sum(to - since for since, to, _ in series)
    server = one.server_cpu * one.duration_s + two.server_cpu * two.duration_s
    return replace(
        one,
        server_cpu=server / duration if duration > 0 else math.nan,
        requests=one.requests + two.requests,
        errors=one.errors + two.errors,
        wrong=one.wrong + two.wrong,
        checked=one.checked + two.checked,
        duration_s=duration,
        throughput_rps=good / duration if duration > 0 else 0.0,
        latency_us=np.concatenate((one.latency_us, two.latency_us)),
        # what was in flight at the end of the first belongs to its last moment
        ended_s=np.concatenate(
            (np.minimum(one.ended_s, one.duration_s), two.ended_s + one.duration_s)
        ),
        finished=two.finished,
        error_texts=one.error_texts + two.error_texts,
        wrong_texts=one.wrong_texts + two.wrong_texts,
        foreign_cpu=(
            sum((to - since) * cores for since, to, cores in series) / spent if spent else math.nan
        ),
        foreign_series=series,
        client_cpu_s=one.client_cpu_s + two.client_cpu_s,
        inferences=inferences / duration if duration > 0 else 0.0,
        client_busy=max(one.client_busy, two.client_busy),
        planned=one.planned + two.planned,
        late_us=np.concatenate((one.late_us, two.late_us)),
        slept_us=np.concatenate((one.slept_us, two.slept_us)),
        failed_s=np.concatenate((one.failed_s, two.failed_s + one.duration_s)),
        beat_s=np.concatenate((one.beat_s, two.beat_s + one.duration_s)),
        beat_us=np.concatenate((one.beat_us, two.beat_us)),
        good=one.good + two.good,
        bad=one.bad + two.bad,
        served=_both(one.served, two.served),
        served_whole=_both(one.served_whole, two.served_whole),
        unread=one.unread or two.unread,
        doubts=tuple(dict.fromkeys(one.doubts + two.doubts)),
        lateness=one.lateness or two.lateness,
        turns=(
            *one.parts,
            *((since + one.duration_s, to + one.duration_s) for since, to in two.parts),
        ),
    )


def _inside(
    series: Sequence[tuple[float, float, float]], duration: float
) -> list[tuple[float, float, float]]:
    return [
        (max(since, 0.0), min(to, duration), cores)
        for since, to, cores in series
        if to > 0 and since < duration
    ]


def _step(measured: float) -> float:
    # first to where a clear case is decided, then by a third
    return max(MARGINS[0][1] - measured, 2.0, measured / 3)


def _both(one: Reading | None, two: Reading | None) -> Reading | None:
    return None if one is None or two is None else one + two
