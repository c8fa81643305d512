"""Scrapes of a metrics endpoint, read strictly, and the exact differences between two."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from pytest_triton.monitor.exposition import Family, Labels, Reader, family_of, show
from pytest_triton.probe.connection import Transport
from pytest_triton.probe.types import MalformedAnswer

MAX_SCRAPE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Sample:
    """One line: the labels and the value (NaN where the server prints ``Nan``)."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Scrape:
    """One reading. ``at`` is in monotonic seconds, taken when the request went out.

    ``problems`` are breaches of the text format that a lax parser would not mention:
    HELP or TYPE twice, a series twice, TYPE after its samples, a missing end of line.
    """

    text: str
    families: Mapping[str, Family]
    series: Mapping[str, Mapping[Labels, float]]
    problems: tuple[str, ...]
    at: float
    content_type: str = ""

    def samples(self, name: str) -> list[Sample]:
        """Every sample with exactly this name; empty when there is none."""
        return [Sample(dict(key), value) for key, value in self.series.get(name, {}).items()]

    def value(self, name: str, **labels: str) -> float | None:
        """The sum over the series that carry ``labels``; None when no series does.

        Name every label for one series; leave ``reason`` out and failures are summed.
        """
        found = [value for key, value in self.series.get(name, {}).items() if _carries(key, labels)]
        return _sum(found) if found else None

    def family_of(self, sample_name: str) -> str:
        """The family that a sample belongs to: ``x_bucket`` belongs to histogram ``x``."""
        return family_of(sample_name, self.families)

    def cumulative(self, sample_name: str) -> bool:
        """Whether samples of this name only grow: counters, and sums and counts of others."""
        return sample_name in self._cumulative

    @cached_property
    def _cumulative(self) -> frozenset[str]:
        names = set()
        for name in self.series:
            family = self.families.get(self.family_of(name))
            if family is None:
                continue
            if family.type == "counter" or name != self.family_of(name):
                names.add(name)
        return frozenset(names)


@dataclass(frozen=True)
class Delta:
    """What happened between two scrapes of one server.

    ``reset`` names counter series that fell, ``gone`` those that vanished. A reset counter
    counts from 0, as Prometheus does.
    """

    before: Scrape
    after: Scrape
    reset: tuple[str, ...]
    gone: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Time between the two scrapes."""
        return self.after.at - self.before.at

    def value(self, name: str, **labels: str) -> float:
        """The rise, summed over the series that carry ``labels``; 0 when there is none.

        A series that was missing before counts from 0. Meant for counters; for a gauge it
        is the plain difference.
        """
        old = self.before.series.get(name, {})
        cumulative = name in self.after._cumulative
        rises = []
        for key, value in self.after.series.get(name, {}).items():
            if _carries(key, labels):
                base = old.get(key, 0.0)
                rises.append(value if cumulative and value < base else value - base)
        return _sum(rises)

    def changed(self) -> dict[str, float]:
        """Every counter series that moved: "name{labels}" -> rise."""
        moved = {}
        for name in sorted(self.after._cumulative):
            for key in self.after.series[name]:
                rise = self.value(name, **dict(key))
                if rise:
                    moved[show(name, key)] = rise
        return moved


def scrape(
    url: str,
    *,
    headers: Iterable[tuple[str, str]] = (),
    timeout: float = 5.0,
    ssl_context: Any = None,
) -> Scrape:
    """Read a metrics endpoint; ``/metrics`` is added to a URL without a path.

    Raises ConnectionFailed, RequestFailed, or MalformedAnswer for text that is no metrics.
    """
    parts = urlsplit(url)
    path = "/metrics" if parts.path in ("", "/") else parts.path
    sent = dict(headers)
    transport = Transport(
        f"{parts.scheme}://{parts.netloc}",
        ssl_context=ssl_context,
        limit=MAX_SCRAPE_BYTES,
        private=sent,
    )
    query = f"?{parts.query}" if parts.query else ""
    at = time.monotonic()
    try:
        answer = transport.request("GET", path + query, body=None, headers=sent, timeout=timeout)
    finally:
        transport.close()
    if answer.status != 200:
        raise answer.failure
    try:
        text = answer.body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedAnswer(f"metrics are not UTF-8 at byte {error.start}") from None
    return parse(text, at=at, content_type=answer.headers.get("content-type", ""))


def parse(text: str, *, at: float | None = None, content_type: str = "") -> Scrape:
    """Read the text exposition format. Raises MalformedAnswer, with the line, when it is not."""
    reader = Reader()
    reader.page(text)
    return Scrape(
        text,
        {
            name: Family(reader.types.get(name, "untyped"), reader.helps.get(name, ""))
            for name in [*reader.types, *(n for n in reader.helps if n not in reader.types)]
        },
        reader.series,
        tuple(reader.problems),
        time.monotonic() if at is None else at,
        content_type,
    )


def delta(before: Scrape, after: Scrape) -> Delta:
    """The difference between two scrapes, resets and vanished series noticed."""
    reset, gone = [], []
    for name in before._cumulative:
        now = after.series.get(name, {})
        for key, value in before.series[name].items():
            if key not in now:
                gone.append(show(name, key))
            elif now[key] < value:
                reset.append(show(name, key))
    return Delta(before, after, tuple(sorted(reset)), tuple(sorted(gone)))


def _sum(values: list[float]) -> float:
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):  # beyond a double, or infinities of both signs
        return float(sum(values))


def _carries(key: Labels, labels: Mapping[str, str]) -> bool:
    if not labels:
        return True
    held = dict(key)
    return all(held.get(name) == value for name, value in labels.items())
