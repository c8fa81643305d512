"""What a load run found, and whether it keeps a budget."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pytest_triton.criteria.status import Inconclusive
from pytest_triton.load.serverside import Reading
from pytest_triton.load.stats import Verdict, binomial_interval, percentile, sequential_verdict

QUIET = 0.10
"""Foreign CPU, in cores, above which a window says nothing about latency."""
WINDOW_S = 0.5
ENOUGH = 9
"""Fewest windows that can decide anything (all of them alike)."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One budget: the number, the budget, the verdict and a sentence that says why."""

    name: str
    verdict: Verdict
    value: float
    budget: float
    reason: str
    interval: tuple[float, float] | None = None


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
    """Beats of a metronome in the generator, every 5 ms, and ``beat_us`` by which they were late:
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

    @property
    def error_rate(self) -> float:
        """Errors and wrong answers, as a share of the requests; NaN without requests."""
        return (self.errors + self.wrong) / self.requests if self.requests else math.nan

    def percentile_ms(self, q: float) -> float:
        """A latency percentile in milliseconds; NaN without a good answer."""
        return percentile(self.latency_us, q) / 1e3

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
        self,
        *,
        p50_ms: float | None = None,
        p90_ms: float | None = None,
        p95_ms: float | None = None,
        p99_ms: float | None = None,
        error_rate: float | None = None,
    ) -> list[Judgement]:
        """A judgement for every budget that is given.

        Wrong content fails whatever was asked. Latency is judged window by window, on the
        windows in which others left the machine alone.
        """
        found = []
        if self.wrong:
            text = "; ".join(text for text, _ in self.wrong_texts.most_common(3))
            reason = f"{self.wrong} of {self.checked} checked answers are wrong: {text}"
            found.append(Judgement("content", "fail", self.wrong, 0, reason))
        if error_rate is not None:
            found.append(self._judge_errors(error_rate))
        latencies = {50: p50_ms, 90: p90_ms, 95: p95_ms, 99: p99_ms}
        found += [
            self._judge_latency(q, budget) for q, budget in latencies.items() if budget is not None
        ]
        return found

    def require(
        self,
        *,
        p50_ms: float | None = None,
        p90_ms: float | None = None,
        p95_ms: float | None = None,
        p99_ms: float | None = None,
        error_rate: float | None = None,
    ) -> list[Judgement]:
        """Raise AssertionError for a budget that is broken, Inconclusive for one that cannot be
        told; return the judgements when all are kept. A closed loop: latencies at this
        concurrency, not at a rate."""
        found = self.judge(
            p50_ms=p50_ms, p90_ms=p90_ms, p95_ms=p95_ms, p99_ms=p99_ms, error_rate=error_rate
        )
        failed = [entry.reason for entry in found if entry.verdict == "fail"]
        if failed:
            raise AssertionError("\n".join(failed))
        open_ones = [entry.reason for entry in found if entry.verdict == "inconclusive"]
        if open_ones:
            raise Inconclusive("\n".join(open_ones))
        return found

    def _judge_errors(self, budget: float) -> Judgement:
        bad = self.errors + self.wrong
        texts = "; ".join(f"{n}× {text}" for text, n in self.error_texts.most_common(3))
        told = f"{bad} of {self.requests} requests failed" + (f": {texts}" if texts else "")
        low, high = binomial_interval(bad, self.requests)
        verdict: Verdict
        if not self.requests:
            verdict, told = "inconclusive", "error rate: no request ended within the run"
        elif budget <= 0:
            verdict = "fail" if bad else "pass"
        elif low > budget:
            verdict = "fail"
        else:
            verdict = "pass" if high <= budget else "inconclusive"
            if verdict == "inconclusive":
                told += f"; its rate lies in [{low:.2%}, {high:.2%}], the budget is {budget:.2%}"
        return Judgement("error_rate", verdict, self.error_rate, budget, told, (low, high))

    def _judge_latency(self, q: int, budget: float) -> Judgement:
        name, value = f"p{q}_ms", self.percentile_ms(q)
        if not len(self.latency_us):
            verdict: Verdict = "fail" if self.errors else "inconclusive"
            return Judgement(name, verdict, value, budget, f"p{q}: no request got an answer")
        windows = self.windows(q)
        quiet = [window for window in windows if self._foreign_in(window[0], window[1]) <= QUIET]
        verdict = sequential_verdict([window[2] <= budget for window in quiet])
        # noise only ever adds latency: a budget that is kept in spite of it is kept
        if verdict == "inconclusive":
            everything = sequential_verdict([window[2] <= budget for window in windows])
            verdict = "pass" if everything == "pass" else verdict
        spread = (min(w[2] for w in windows), max(w[2] for w in windows)) if windows else None
        kept = sum(window[2] <= budget for window in windows)
        told = f"p{q} is {value:.3g} ms, the budget {budget:g} ms: "
        told += f"{kept} of {len(windows)} windows keep it"
        if len(quiet) < len(windows):
            told += f", {len(windows) - len(quiet)} were noisy (foreign CPU over {QUIET:g})"
        if verdict == "inconclusive":
            short = len(windows) < ENOUGH
            told += (
                f"; at least {ENOUGH} windows are needed to tell: measure longer"
                if short
                else "; the machine was too noisy to tell"
                if len(quiet) < len(windows)
                else "; too near to tell"
            )
        return Judgement(name, verdict, value, budget, told, spread)

    def _foreign_in(self, begin: float, end: float) -> float:
        parts = [
            (min(end, to) - max(begin, since), cores)
            for since, to, cores in self.foreign_series
            if to > begin and since < end
        ]
        weight = sum(part for part, _ in parts)
        if weight <= 0:  # not measured: a window cannot be excused by noise nobody saw
            return 0.0
        return sum(part * cores for part, cores in parts) / weight

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
